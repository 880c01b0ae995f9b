//! What is measured: an operation on a format and a shape.

use super::timing::Settings;
use crate::{Format, Result, cpu};
use std::fmt;
use std::str::FromStr;

/// The most copies of weights. Small weights would need too many.
const MAX_COPIES: u64 = 1024;

/// The operation that is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Encodes f32 weights as blocks.
    Quantize,
    /// Decodes blocks to f32 weights.
    Dequantize,
    /// Multiplies a matrix by at most [`Operation::MAX_VECTORS`] vectors.
    Matvec,
    /// Multiplies a matrix by more vectors.
    Matmul,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 4] = [Self::Quantize, Self::Dequantize, Self::Matvec, Self::Matmul];
    /// The most vectors of `matvec`; with more it is a `matmul`.
    pub const MAX_VECTORS: usize = 8;

    /// The name, for example `matvec`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quantize => "quantize",
            Self::Dequantize => "dequantize",
            Self::Matvec => "matvec",
            Self::Matmul => "matmul",
        }
    }

    /// Whether the operation exists for a format: some formats have no encoder, and F32 is not converted to
    /// itself.
    pub fn takes(self, format: Format) -> bool {
        match self {
            Self::Quantize => format.info().can_quantize() && format != Format::F32,
            Self::Dequantize => format != Format::F32,
            Self::Matvec | Self::Matmul => true,
        }
    }

    /// Whether it is a product, which has vectors.
    pub fn is_product(self) -> bool {
        matches!(self, Self::Matvec | Self::Matmul)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|operation| operation.name() == text);
        named.ok_or_else(|| format!("{text:?} is not quantize, dequantize, matvec or matmul"))
    }
}

/// An operation on weights of a format and a shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Case {
    /// The operation.
    pub operation: Operation,
    /// The format of the weights.
    pub format: Format,
    /// Rows of the matrix: m.
    pub rows: usize,
    /// Columns of the matrix, whole blocks: k.
    pub cols: usize,
    /// Vectors: n. Ignored by conversions.
    pub batch: usize,
}

impl Case {
    pub(super) fn check(&self) -> Result<()> {
        cpu::check_shape(self.format, self.rows, self.cols)
    }

    pub(super) fn weights(&self) -> u64 {
        self.rows as u64 * self.cols as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        let blocks = self.format.bytes_for(self.weights());
        let floats = match self.operation {
            Operation::Quantize | Operation::Dequantize => self.weights(),
            Operation::Matvec | Operation::Matmul => self.batch as u64 * (self.rows + self.cols) as u64,
        };
        blocks + 4 * floats
    }

    /// One more copy than fits the cache.
    pub(super) fn copies(&self, settings: &Settings) -> usize {
        let bytes =
            if self.operation.is_product() { self.format.bytes_for(self.weights()) } else { self.bytes() };
        (settings.cache_bytes / bytes + 1).min(MAX_COPIES) as usize
    }
}
