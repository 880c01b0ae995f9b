//! Products with matrices.

use super::vectors::dot;
use crate::llm::weights::Encoded;
use crate::threads::in_parallel;
use crate::{Result, cpu};

/// One thread computes products with fewer weights than this: starting another would take longer.
const THREAD_WEIGHTS: usize = 1 << 16;

/// `y` = `x`·Wᵀ, plus the biases. W is `stack`, one tensor above the other; `biases` has one for each row, or
/// is empty.
pub(super) fn matmul(
    stack: &[Encoded],
    biases: &[f32],
    x: &[f32],
    y: &mut [f32],
    threads: usize,
) -> Result<()> {
    let all_rows: usize = stack.iter().map(|tensor| tensor.rows).sum();
    let batch = y.len() / all_rows;
    let mut first = 0;
    for tensor in stack {
        let mut part_y = vec![0.0; batch * tensor.rows];
        matmul_rows(tensor, 0, x, &mut part_y, threads)?;
        for (from, to) in part_y.chunks(tensor.rows).zip(y.chunks_mut(all_rows)) {
            to[first..first + tensor.rows].copy_from_slice(from);
        }
        first += tensor.rows;
    }
    for y in y.chunks_mut(all_rows) {
        y.iter_mut().zip(biases).for_each(|(y, bias)| *y += bias);
    }
    Ok(())
}

/// Products of each vector of `x` with rows of a matrix, from row `start` on; `y` has a float for each row
/// and vector.
pub(super) fn matmul_rows(
    matrix: &Encoded,
    start: usize,
    x: &[f32],
    y: &mut [f32],
    threads: usize,
) -> Result<()> {
    let batch = x.len() / matrix.cols;
    let rows = y.len() / batch;
    let row_bytes = matrix.format.bytes_for(matrix.cols as u64) as usize;
    let bytes = &matrix.bytes[start * row_bytes..(start + rows) * row_bytes];
    let threads = if rows * matrix.cols < THREAD_WEIGHTS { 1 } else { threads };
    let chunk_rows = rows.div_ceil(threads);
    let mut columns = vec![0.0; y.len()];
    let work = bytes.chunks(chunk_rows * row_bytes).zip(columns.chunks_mut(chunk_rows * batch)).collect();
    in_parallel(threads, work, |(bytes, y): (&[u8], &mut [f32])| {
        let rows = bytes.len() / row_bytes;
        let mut weights = vec![0.0; matrix.cols];
        for (r, row) in bytes.chunks(row_bytes).enumerate() {
            // `cpu::matmul` would decode the row once for each vector.
            cpu::dequantize(matrix.format, row, &mut weights)?;
            for (x, y) in x.chunks(matrix.cols).zip(y.chunks_mut(rows)) {
                y[r] = dot(&weights, x) as f32;
            }
        }
        Ok(())
    })?;
    for (chunk, part) in columns.chunks(chunk_rows * batch).enumerate() {
        let part_rows = part.len() / batch;
        for (from, to) in part.chunks(part_rows).zip(y.chunks_mut(rows)) {
            to[chunk * chunk_rows..chunk * chunk_rows + part_rows].copy_from_slice(from);
        }
    }
    Ok(())
}
