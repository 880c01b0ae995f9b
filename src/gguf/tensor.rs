//! Tensors as the header of a file describes them.

use super::tensor_type::{REMOVED_IDS, TensorType};
use super::{Fault, MAX_DIMENSIONS, MAX_NAME_BYTES};
use crate::{Error, Result};

/// The tensor type with this number; `tensor` names the tensor in the fault.
pub(super) fn tensor_type(tensor: &str, id: u32) -> Result<TensorType, Fault> {
    TensorType::from_ggml_id(id).ok_or_else(|| {
        let tensor = tensor.to_owned();
        if REMOVED_IDS.contains(&id) {
            Fault::RemovedTensorType { tensor, found: id }
        } else {
            Fault::UnknownTensorType { tensor, found: id }
        }
    })
}

/// The name, shape, type and offset of one tensor.
///
/// Always valid: at most four dimensions, rows of whole blocks, sizes that fit into their integers.
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
    /// A tensor for a [`Layout`](super::Layout), which sets its offset.
    ///
    /// `shape` is in ggml's order, row length first. Fails with [`Error::Layout`] if a GGUF file cannot hold
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

    /// [`new`](Self::new) for a name and a shape that have passed the checks below.
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
    /// Fails with [`Error::Layout`] if its rows are not whole blocks of that type.
    pub fn with_type(&self, tensor_type: impl Into<TensorType>) -> Result<Self> {
        Self::from_checked(self.name.clone(), self.shape.clone(), self.weights, tensor_type.into())
            .map_err(|fault| Error::Layout { fault })
    }

    /// The name: `blk.0.attn_q.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The dimensions in ggml's order, row length first: none to four, as many as the file has.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The type of the data.
    pub fn tensor_type(&self) -> TensorType {
        self.tensor_type
    }

    /// The offset of the data, in bytes from the start of the file's data section.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of data, without padding.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of weights, or numbers.
    pub fn weights(&self) -> u64 {
        self.weights
    }

    /// Weights in a row: the first dimension.
    pub fn row_len(&self) -> u64 {
        row_len(&self.shape)
    }

    /// Number of rows in all matrices: the product of the other dimensions; 0 if rows are empty.
    pub fn rows(&self) -> u64 {
        self.weights.checked_div(self.row_len()).unwrap_or(0)
    }

    /// Rows in one matrix: the second dimension. A tensor of three dimensions has a matrix for each expert.
    pub fn matrix_rows(&self) -> u64 {
        self.shape.get(1).copied().unwrap_or(1)
    }

    /// The end of the padding after the data, which is the offset of the next tensor.
    pub(super) fn padded_end(&self, alignment: u32) -> Result<u64, Fault> {
        let end = pad(self.bytes, alignment).and_then(|bytes| self.offset.checked_add(bytes));
        end.ok_or_else(|| Fault::DataBytes { tensor: self.name.clone() })
    }
}

/// Weights in a row. A tensor of no dimensions is a single number.
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

/// The product of the dimensions, which must be below `i64::MAX`, as in ggml.
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

/// Rounds `bytes` up to a multiple of `alignment`, a power of two.
pub(super) fn pad(bytes: u64, alignment: u32) -> Option<u64> {
    bytes.checked_next_multiple_of(alignment.into())
}
