//! Tensors as the header of a file describes them.

use super::{Fault, MAX_DIMENSIONS, MAX_NAME_BYTES};
use crate::{Error, Format, Result};
use std::fmt;

/// The type of a tensor's data.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[expect(non_camel_case_types, reason = "the names are ggml's")]
#[non_exhaustive]
pub enum TensorType {
    /// Weights, which qmill decodes.
    Weights(Format),
    /// Integers of 8 bits; this and the following types are only copied.
    I8,
    /// Integers of 16 bits.
    I16,
    /// Integers of 32 bits.
    I32,
    /// Integers of 64 bits.
    I64,
    /// Floating-point numbers of 64 bits.
    F64,
    /// ggml's encoding of activations that meet `Q4_1` and `Q5_1`.
    Q8_1,
    /// ggml's encoding of activations that meet K-quants and codebook formats.
    Q8_K,
}

/// What is known of a type that is only copied.
struct Opaque {
    tensor_type: TensorType,
    name: &'static str,
    ggml_id: u32,
    block_weights: u64,
    block_bytes: u64,
}

impl Opaque {
    const fn new(
        tensor_type: TensorType,
        name: &'static str,
        ggml_id: u32,
        block_weights: u64,
        block_bytes: u64,
    ) -> Self {
        Self { tensor_type, name, ggml_id, block_weights, block_bytes }
    }
}

static OPAQUE: [Opaque; 7] = [
    Opaque::new(TensorType::I8, "I8", 24, 1, 1),
    Opaque::new(TensorType::I16, "I16", 25, 1, 2),
    Opaque::new(TensorType::I32, "I32", 26, 1, 4),
    Opaque::new(TensorType::I64, "I64", 27, 1, 8),
    Opaque::new(TensorType::F64, "F64", 28, 1, 8),
    Opaque::new(TensorType::Q8_1, "Q8_1", 9, 32, 36),
    Opaque::new(TensorType::Q8_K, "Q8_K", 15, 256, 292),
];

/// Numbers that once were types: `Q4_2`, `Q4_3`, and layouts that ggml now makes when it loads a model.
const REMOVED_IDS: [u32; 8] = [4, 5, 31, 32, 33, 36, 37, 38];

impl TensorType {
    /// The type with this `ggml_type` number.
    pub fn from_ggml_id(id: u32) -> Option<Self> {
        let opaque = || OPAQUE.iter().find(|row| row.ggml_id == id).map(|row| row.tensor_type);
        Format::from_ggml_id(id).map(Self::Weights).or_else(opaque)
    }

    /// As [`from_ggml_id`](Self::from_ggml_id); `tensor` is named when there is no such type.
    pub(super) fn of_tensor(tensor: &str, id: u32) -> Result<Self, Fault> {
        let fault = || {
            let tensor = tensor.to_owned();
            if REMOVED_IDS.contains(&id) {
                Fault::RemovedTensorType { tensor, found: id }
            } else {
                Fault::UnknownTensorType { tensor, found: id }
            }
        };
        Self::from_ggml_id(id).ok_or_else(fault)
    }

    /// `Err` with the format where the type is one of weights.
    fn opaque(self) -> Result<&'static Opaque, Format> {
        match self {
            Self::Weights(format) => Err(format),
            Self::I8 => Ok(&OPAQUE[0]),
            Self::I16 => Ok(&OPAQUE[1]),
            Self::I32 => Ok(&OPAQUE[2]),
            Self::I64 => Ok(&OPAQUE[3]),
            Self::F64 => Ok(&OPAQUE[4]),
            Self::Q8_1 => Ok(&OPAQUE[5]),
            Self::Q8_K => Ok(&OPAQUE[6]),
        }
    }

    /// The `ggml_type` number that files store.
    pub fn ggml_id(self) -> u32 {
        self.opaque().map_or_else(|format| format.info().ggml_id, |row| row.ggml_id)
    }

    /// The name as the field writes it: `Q4_K`, `I32`.
    pub fn name(self) -> &'static str {
        self.opaque().map_or_else(Format::name, |row| row.name)
    }

    /// Weights, or numbers, in a block; a row is a whole number of blocks.
    pub fn block_weights(self) -> u64 {
        self.opaque().map_or_else(|format| format.info().block_weights as u64, |row| row.block_weights)
    }

    /// Bytes in a block.
    pub fn block_bytes(self) -> u64 {
        self.opaque().map_or_else(|format| format.info().block_bytes as u64, |row| row.block_bytes)
    }

    /// The format, if these are weights.
    pub fn format(self) -> Option<Format> {
        self.opaque().err()
    }
}

impl From<Format> for TensorType {
    fn from(format: Format) -> Self {
        Self::Weights(format)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name, shape, type and place of one tensor.
///
/// Always consistent: at most four dimensions, rows of whole blocks, sizes that fit their integers.
#[derive(Clone, PartialEq, Debug)]
pub struct TensorInfo {
    name: String,
    shape: Vec<u64>,
    tensor_type: TensorType,
    weights: u64,
    bytes: u64,
    pub(super) offset: u64,
}

impl TensorInfo {
    /// A tensor for a [`Layout`](super::Layout), which gives it its offset.
    ///
    /// `shape` is in ggml's order, row length first. Fails with [`Error::Layout`] where a file could not hold
    /// such a tensor.
    pub fn new(
        name: impl Into<String>,
        shape: impl Into<Vec<u64>>,
        tensor_type: impl Into<TensorType>,
    ) -> Result<Self> {
        let (name, shape, tensor_type) = (name.into(), shape.into(), tensor_type.into());
        let info = || {
            check_name_length(name.len() as u64)?;
            check_dimension_count(&name, shape.len())?;
            for (dimension, &length) in shape.iter().enumerate() {
                check_dimension(&name, dimension, length)?;
            }
            let weights = count_weights(&name, &shape)?;
            Self::from_checked(name, shape, weights, tensor_type)
        };
        info().map_err(|fault| Error::Layout { fault })
    }

    /// As [`new`](Self::new), of a name and a shape that have passed the checks below.
    pub(super) fn from_checked(
        name: String,
        shape: Vec<u64>,
        weights: u64,
        tensor_type: TensorType,
    ) -> Result<Self, Fault> {
        let bytes = count_bytes(&name, &shape, weights, tensor_type)?;
        Ok(Self { name, shape, tensor_type, weights, bytes, offset: 0 })
    }

    /// The same tensor with data of another type.
    ///
    /// Fails with [`Error::Layout`] when its rows are not whole blocks of that type.
    pub fn with_type(&self, tensor_type: impl Into<TensorType>) -> Result<Self> {
        Self::from_checked(self.name.clone(), self.shape.clone(), self.weights, tensor_type.into())
            .map_err(|fault| Error::Layout { fault })
    }

    /// The name: `blk.0.attn_q.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The dimensions in ggml's order, row length first: as many as the file says, from none to four.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The type of the data.
    pub fn tensor_type(&self) -> TensorType {
        self.tensor_type
    }

    /// Where the data start, in bytes from the start of the file's data.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes the data take, padding not included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Weights, or numbers, in all.
    pub fn weights(&self) -> u64 {
        self.weights
    }

    /// Weights in a row: the first dimension.
    pub fn row_len(&self) -> u64 {
        row_len(&self.shape)
    }

    /// Rows in all, of all matrices: the product of the other dimensions; 0 where rows are empty.
    pub fn rows(&self) -> u64 {
        self.weights.checked_div(self.row_len()).unwrap_or(0)
    }

    /// Rows of one of its matrices: the second dimension. A tensor of three has a matrix for each expert.
    pub fn matrix_rows(&self) -> u64 {
        self.shape.get(1).copied().unwrap_or(1)
    }

    /// Where the padding after the data ends, from the start of the file's data: the offset of the next tensor.
    pub(super) fn padded_end(&self, alignment: u32) -> Result<u64, Fault> {
        let end = pad(self.bytes, alignment).and_then(|bytes| self.offset.checked_add(bytes));
        end.ok_or_else(|| Fault::DataBytes { tensor: self.name.clone() })
    }
}

/// A tensor of no dimensions is a single number.
fn row_len(shape: &[u64]) -> u64 {
    shape.first().copied().unwrap_or(1)
}

pub(super) fn check_name_length(bytes: u64) -> Result<(), Fault> {
    if bytes <= MAX_NAME_BYTES { Ok(()) } else { Err(Fault::NameLength { found: bytes }) }
}

pub(super) fn check_dimension_count(tensor: &str, found: usize) -> Result<(), Fault> {
    if found <= MAX_DIMENSIONS as usize {
        Ok(())
    } else {
        Err(Fault::DimensionCount { tensor: tensor.to_owned(), found })
    }
}

pub(super) fn check_dimension(tensor: &str, dimension: usize, length: u64) -> Result<(), Fault> {
    match i64::try_from(length) {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(Fault::NegativeDimension { tensor: tensor.to_owned(), dimension, found: length as i64 })
        }
    }
}

/// The product of the dimensions, below `i64::MAX` as ggml demands.
pub(super) fn count_weights(tensor: &str, shape: &[u64]) -> Result<u64, Fault> {
    if shape.contains(&0) {
        return Ok(0);
    }
    let product = shape.iter().try_fold(1u64, |product, &length| product.checked_mul(length));
    product
        .filter(|&weights| weights < i64::MAX as u64)
        .ok_or_else(|| Fault::WeightCount { tensor: tensor.to_owned(), found: shape.to_vec() })
}

fn count_bytes(tensor: &str, shape: &[u64], weights: u64, tensor_type: TensorType) -> Result<u64, Fault> {
    let block_weights = tensor_type.block_weights();
    let row_len = row_len(shape);
    if !row_len.is_multiple_of(block_weights) {
        let tensor = tensor.to_owned();
        return Err(Fault::RowLength { tensor, tensor_type, expected: block_weights, found: row_len });
    }
    (weights / block_weights).checked_mul(tensor_type.block_bytes()).ok_or_else(|| Fault::TensorBytes {
        tensor: tensor.to_owned(),
        tensor_type,
        weights,
    })
}

/// `bytes` up to the next multiple of `alignment`, a power of two.
pub(super) fn pad(bytes: u64, alignment: u32) -> Option<u64> {
    bytes.checked_next_multiple_of(alignment.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_a_type_is_known_removed_or_unknown() {
        for id in 0..43 {
            match TensorType::from_ggml_id(id) {
                Some(tensor_type) => {
                    assert_eq!((tensor_type.ggml_id(), REMOVED_IDS.contains(&id)), (id, false));
                }
                None => assert!(REMOVED_IDS.contains(&id), "{id}"),
            }
        }
        assert_eq!(TensorType::from_ggml_id(43), None);
    }

    #[test]
    fn each_opaque_type_finds_its_own_row() {
        for row in &OPAQUE {
            assert_eq!(row.tensor_type.name(), row.name);
            assert_eq!(row.tensor_type.ggml_id(), row.ggml_id);
        }
    }
}
