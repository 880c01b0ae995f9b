//! Products with matrices.

use crate::cpu::{Int8Vectors, matmul_f32, matmul_int8};
use crate::llm::weights::Encoded;
use crate::{Format, Result};
use rayon::prelude::*;

/// `y` = `x`·Wᵀ, plus the biases. W is `stack`, one tensor above the other; `biases` has one for each row, or
/// is empty.
pub(in crate::llm::cpu) fn matmul(stack: &[Encoded], biases: &[f32], x: &[f32], y: &mut [f32]) -> Result<()> {
    let Some(first) = stack.first() else { return Ok(()) };
    let rows: usize = stack.iter().map(|tensor| tensor.rows).sum();
    let vectors = Vectors::new(x, first.cols, stack.iter().map(|tensor| tensor.format))?;
    if stack.len() == 1 {
        vectors.multiply(first, 0..rows, y)?;
    } else if y.len() == rows {
        // One vector: a tensor alone may have too few rows for all threads.
        let (mut parts, mut rest) = (Vec::with_capacity(stack.len()), &mut *y);
        for tensor in stack {
            let (part, after) = rest.split_at_mut(tensor.rows);
            parts.push((tensor, part));
            rest = after;
        }
        parts
            .into_par_iter()
            .try_for_each(|(tensor, part)| vectors.multiply(tensor, 0..tensor.rows, part))?;
    } else {
        let mut at = 0;
        for tensor in stack {
            let mut part = vec![0.0; y.len() / rows * tensor.rows];
            vectors.multiply(tensor, 0..tensor.rows, &mut part)?;
            y.par_chunks_mut(rows).zip(part.par_chunks(tensor.rows)).for_each(|(y, part)| {
                y[at..at + tensor.rows].copy_from_slice(part);
            });
            at += tensor.rows;
        }
    }
    if !biases.is_empty() {
        for y in y.chunks_mut(rows) {
            y.iter_mut().zip(biases).for_each(|(y, bias)| *y += bias);
        }
    }
    Ok(())
}

/// Vectors as the formats of the matrices need them.
pub(super) struct Vectors<'a> {
    floats: &'a [f32],
    int8: Option<Int8Vectors>,
}

impl<'a> Vectors<'a> {
    pub(super) fn new(x: &'a [f32], cols: usize, mut formats: impl Iterator<Item = Format>) -> Result<Self> {
        let int8 = formats.any(|format| !format.is_float()).then(|| Int8Vectors::new(x, cols)).transpose()?;
        Ok(Self { floats: x, int8 })
    }

    /// `y` = the products with rows of a matrix.
    pub(super) fn multiply(
        &self,
        matrix: &Encoded,
        rows: std::ops::Range<usize>,
        y: &mut [f32],
    ) -> Result<()> {
        let row_bytes = matrix.format.bytes_for(matrix.cols as u64) as usize;
        let bytes = &matrix.bytes[rows.start * row_bytes..rows.end * row_bytes];
        match &self.int8 {
            Some(x) if !matrix.format.is_float() => matmul_int8(matrix.format, rows.len(), bytes, x, y),
            _ => matmul_f32(matrix.format, rows.len(), matrix.cols, bytes, self.floats, y),
        }
    }
}
