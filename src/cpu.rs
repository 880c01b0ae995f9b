//! The CPU reference: the operations as plain loops. Every other implementation is compared with it. Beside
//! it are fast products, [`matmul_int8`] and [`matmul_f32`].
//!
//! Weights and vectors are slices of `f32`, [`half::f16`] or [`half::bf16`] ([`Float`]). Weights in f16 or
//! bf16 give the same bytes as an F16 or BF16 file:
//!
//! ```
//! use qmill::half::f16;
//! use qmill::{Format, cpu};
//!
//! let weights: Vec<f16> = (0..512).map(|i| f16::from_f32((i as f32 * 0.1).sin())).collect();
//! let mut blocks = vec![0; Format::Q4_K.bytes_for(512) as usize];
//! cpu::quantize(Format::Q4_K, &weights, &mut blocks)?;
//! let mut decoded = vec![f16::ZERO; 512];
//! cpu::dequantize(Format::Q4_K, &blocks, &mut decoded)?;
//! # Ok::<(), qmill::Error>(())
//! ```

mod activations;
mod convert;
mod dequantize;
mod dot;
mod error_sums;
mod float;
mod get_rows;
mod matmul;
mod product;
mod quantize;
mod round_trip;
mod simd;

pub use activations::round_activations;
pub(crate) use convert::convert;
pub use dequantize::dequantize;
pub use dot::dot;
pub use error_sums::{ErrorSums, error_sums, error_sums_of_weights};
pub(crate) use error_sums::{GROUP_WEIGHTS, each_group};
pub use float::Float;
pub use get_rows::get_rows;
pub use matmul::{matmul, matmul_indexed};
pub(crate) use product::{DOT_LOOP_ROUND, dot_loop, read_loop};
pub use product::{Int8Vectors, StridedRows, matmul_f32, matmul_int8};
pub use quantize::quantize;
pub(crate) use round_trip::check_blocks;
pub use round_trip::{round_trip, round_trip_in_place};
#[cfg(test)]
pub(crate) use simd::Plain;
pub use simd::instruction_set;

use crate::{Error, Format, Result};

/// Weights per conversion through f32: 64 KiB, and whole blocks of every format.
const TILE_WEIGHTS: usize = 16 * 1024;

/// The most threads that an operation starts: a system may refuse more, and they would only wait.
pub(crate) const MAX_THREADS: usize = 1024;

/// Checks that `bytes` bytes of `format` are whole blocks and hold `weights` weights.
pub(crate) fn check_lengths(format: Format, weights: usize, bytes: usize) -> Result<()> {
    let info = format.info();
    let blocks = bytes / info.block_bytes;
    if blocks * info.block_bytes == bytes && blocks * info.block_weights == weights {
        Ok(())
    } else {
        Err(Error::Length { format, weights, bytes })
    }
}

/// Checks that a number is at least 1 and fits into 32 bits.
pub(crate) fn check_positive(what: &'static str, found: usize) -> Result<()> {
    match u32::try_from(found) {
        Ok(1..) => Ok(()),
        _ => Err(Error::Number { what, needed: format!("1 to {}", u32::MAX), found: found as u64 }),
    }
}

/// Checks a length.
pub(crate) fn check_length(what: &'static str, needed: usize, found: usize) -> Result<()> {
    if found == needed {
        Ok(())
    } else {
        Err(Error::Number { what, needed: needed.to_string(), found: found as u64 })
    }
}

/// Checks that a matrix of `format` can have this shape.
pub(crate) fn check_shape(format: Format, rows: usize, cols: usize) -> Result<()> {
    check_positive("the number of rows", rows)?;
    check_positive("the number of columns", cols)?;
    if !cols.is_multiple_of(format.info().block_weights) {
        return Err(Error::RowLength { tensor: "the matrix".to_owned(), weights: cols as u64, format });
    }
    Ok(())
}

/// Checks that `bytes` bytes of `format` hold a matrix of this shape.
pub(crate) fn check_matrix(format: Format, rows: usize, cols: usize, bytes: usize) -> Result<()> {
    check_shape(format, rows, cols)?;
    check_lengths(format, rows.saturating_mul(cols), bytes)
}

/// Checks the lengths of the operand and the result of a product with a matrix of this shape. Returns the
/// number of vectors.
pub(crate) fn check_product<X, Y>(rows: usize, cols: usize, x: &[X], y: &[Y]) -> Result<usize> {
    if x.is_empty() || !x.len().is_multiple_of(cols) {
        let needed = format!("{cols}, the columns of the matrix, or a multiple of it");
        return Err(Error::Number { what: "the length of x", needed, found: x.len() as u64 });
    }
    let batch = x.len() / cols;
    check_length("the length of y", batch * rows, y.len())?;
    Ok(batch)
}

/// Checks that a matrix of `rows` rows is a whole number of experts of `expert_rows` rows each, and that each
/// vector is assigned to at least one.
pub(crate) fn check_experts(rows: usize, expert_rows: usize, top_k: usize) -> Result<()> {
    check_positive("the rows of an expert", expert_rows)?;
    check_positive("the experts of a vector", top_k)?;
    if rows.is_multiple_of(expert_rows) {
        Ok(())
    } else {
        let needed = format!("a multiple of {expert_rows}");
        Err(Error::Number { what: "the number of rows", needed, found: rows as u64 })
    }
}

/// Checks that a matrix of this shape has rows with these numbers, and that `result` has their length.
pub(crate) fn check_rows<W>(rows: usize, cols: usize, numbers: &[u32], result: &[W]) -> Result<()> {
    check_length("the length of the result", numbers.len() * cols, result.len())?;
    match numbers.iter().find(|&&number| number as usize >= rows) {
        None => Ok(()),
        Some(&number) => Err(Error::Number {
            what: "the number of a row",
            needed: format!("less than {rows}"),
            found: u64::from(number),
        }),
    }
}
