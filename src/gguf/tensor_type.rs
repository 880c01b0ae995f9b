//! The types of tensor data.

use crate::Format;
use std::fmt;

/// The type of a tensor's data.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[expect(non_camel_case_types, reason = "the names are ggml's")]
#[non_exhaustive]
pub enum TensorType {
    /// Weights, which qmill decodes.
    Weights(Format),
    /// Integers of 8 bits. This type and the following ones are only copied.
    I8,
    /// Integers of 16 bits.
    I16,
    /// Integers of 32 bits.
    I32,
    /// Integers of 64 bits.
    I64,
    /// Floating-point numbers of 64 bits.
    F64,
    /// ggml's encoding of activations for products with `Q4_1` and `Q5_1`.
    Q8_1,
    /// ggml's encoding of activations for products with K-quants and codebook formats.
    Q8_K,
}

/// The facts about a type that is only copied.
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

/// Numbers of removed types: `Q4_2`, `Q4_3`, and layouts that ggml now creates when it loads a model.
pub(super) const REMOVED_IDS: [u32; 8] = [4, 5, 31, 32, 33, 36, 37, 38];

impl TensorType {
    /// The type with this `ggml_type` number.
    pub fn from_ggml_id(id: u32) -> Option<Self> {
        let opaque = || OPAQUE.iter().find(|row| row.ggml_id == id).map(|row| row.tensor_type);
        Format::from_ggml_id(id).map(Self::Weights).or_else(opaque)
    }

    /// The row of a type that is only copied; `Err` with the format if the type holds weights.
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

    /// The usual name: `Q4_K`, `I32`.
    pub fn name(self) -> &'static str {
        self.opaque().map_or_else(Format::name, |row| row.name)
    }

    /// Weights, or numbers, in a block. A row is a whole number of blocks.
    pub fn block_weights(self) -> u64 {
        self.opaque().map_or_else(|format| format.info().block_weights as u64, |row| row.block_weights)
    }

    /// Bytes in a block.
    pub fn block_bytes(self) -> u64 {
        self.opaque().map_or_else(|format| format.info().block_bytes as u64, |row| row.block_bytes)
    }

    /// The format, if the type holds weights.
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
