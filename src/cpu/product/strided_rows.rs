//! Rows of floats that are not end to end, as the keys and values of a head in a KV cache.

use super::combine_rows::Combine;
use super::float_rows::{FloatVectors, Multiply};
use super::int8_rows::ROWS;
use crate::cpu::simd::Level;
use crate::cpu::{check_length, check_positive};
use crate::{Error, Format, Result};

/// Rows of `cols` numbers in F32, F16 or BF16, each a number of bytes after the one before.
///
/// Operations run on the calling thread, in f32, for rows that are few enough to be one of many tasks.
#[derive(Clone, Copy, Debug)]
pub struct StridedRows<'a> {
    format: Format,
    bytes: &'a [u8],
    stride: usize,
    rows: usize,
    cols: usize,
}

impl<'a> StridedRows<'a> {
    /// `rows` rows of `cols` numbers, of which the first begins at the start of `bytes`, and each `stride`
    /// bytes after the one before.
    ///
    /// Fails with [`Error::Unsupported`] for another format, and with [`Error::Number`] if there are no rows
    /// or columns, or `bytes` ends before the last row.
    pub fn new(format: Format, bytes: &'a [u8], stride: usize, rows: usize, cols: usize) -> Result<Self> {
        if !format.is_float() {
            let known = "F32, F16, BF16".to_owned();
            return Err(Error::Unsupported { what: "the format", found: format.to_string(), known });
        }
        check_positive("the number of rows", rows)?;
        check_positive("the number of columns", cols)?;
        let end = (rows - 1).saturating_mul(stride).saturating_add(format.bytes_for(cols as u64) as usize);
        if end > bytes.len() {
            let needed = format!("at least {end}");
            return Err(Error::Number { what: "the number of bytes", needed, found: bytes.len() as u64 });
        }
        Ok(Self { format, bytes, stride, rows, cols })
    }

    /// For each vector of `cols` numbers in `x`, its dot products with all rows: a number for each row in
    /// `y`.
    ///
    /// Fails with [`Error::Number`] if lengths do not match.
    pub fn multiply(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.multiply_on(Level::best(), x, y)
    }

    pub(super) fn multiply_on(&self, level: Level, x: &[f32], y: &mut [f32]) -> Result<()> {
        let Self { format, bytes: matrix, stride, rows, cols } = *self;
        let vectors = crate::cpu::check_product(rows, cols, x, y)?;
        let mut sums = vec![[0.0; ROWS]; rows.div_ceil(ROWS) * vectors];
        let x = &FloatVectors::new(x, cols);
        level.run(Multiply { format, matrix, stride, rows: 0..rows, cols, x, sums: &mut sums });
        for (v, y) in y.chunks_mut(rows).enumerate() {
            for (y, sums) in y.chunks_mut(ROWS).zip(sums[v..].iter().step_by(vectors)) {
                y.copy_from_slice(&sums[..y.len()]);
            }
        }
        Ok(())
    }

    /// For each vector of a weight per row in `weights`, the weighted sum of all rows: `cols` numbers in `y`.
    ///
    /// Fails with [`Error::Number`] if lengths do not match.
    pub fn combine(&self, weights: &[f32], y: &mut [f32]) -> Result<()> {
        self.combine_on(Level::best(), weights, y)
    }

    pub(super) fn combine_on(&self, level: Level, weights: &[f32], y: &mut [f32]) -> Result<()> {
        let Self { format, bytes: matrix, stride, rows, cols } = *self;
        let vectors = weights.len() / rows;
        check_length("the length of the weights", vectors * rows, weights.len())?;
        check_length("the length of y", vectors * cols, y.len())?;
        level.run(Combine { format, matrix, stride, cols, weights, rows, y });
        Ok(())
    }
}
