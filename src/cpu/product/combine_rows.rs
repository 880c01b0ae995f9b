//! The kernel of weighted sums of rows in F32, F16 or BF16, in f32.

use super::float_rows::{Bf16, F16, F32, Float};
use crate::Format;
use crate::cpu::simd::{Simd, Work};

/// Vectors whose sums are in registers together.
const VECTORS: usize = 4;

/// Rows, and weights for each of them.
pub(super) struct Combine<'a> {
    pub(super) format: Format,
    /// Each row begins `stride` bytes after the one before.
    pub(super) matrix: &'a [u8],
    pub(super) stride: usize,
    pub(super) cols: usize,
    /// For each sum a weight for each row.
    pub(super) weights: &'a [f32],
    pub(super) rows: usize,
    /// The sums, of `cols` numbers each.
    pub(super) y: &'a mut [f32],
}

impl Work for Combine<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.format {
            Format::F16 => combine::<2, F16, S>(simd, self),
            Format::BF16 => combine::<2, Bf16, S>(simd, self),
            _ => combine::<4, F32, S>(simd, self),
        }
    }
}

#[inline(always)]
fn combine<const BYTES: usize, F: Float<BYTES>, S: Simd>(simd: S, work: Combine) {
    let Combine { matrix, stride, cols, weights, rows, y, .. } = work;
    let row = |r: usize, c: usize| &matrix[r * stride + c * BYTES..];
    for (weights, y) in weights.chunks(VECTORS * rows).zip(y.chunks_mut(VECTORS * cols)) {
        let count = weights.len() / rows;
        let whole = cols / 8 * 8;
        for c in (0..whole).step_by(8) {
            let mut sums = [simd.splat(0.0); VECTORS];
            for r in 0..rows {
                let Some((numbers, _)) = row(r, c).as_chunks().0.split_first_chunk::<8>() else { break };
                let numbers = F::load(simd, numbers);
                for v in 0..VECTORS {
                    // The sums of missing vectors are not stored.
                    let weight = weights[v.min(count - 1) * rows + r];
                    sums[v] = simd.mul_add(numbers, simd.splat(weight), sums[v]);
                }
            }
            for v in 0..count {
                if let Some((y, _)) = y[v * cols + c..].split_first_chunk_mut::<8>() {
                    simd.store(sums[v], y);
                }
            }
        }
        for (v, y) in y.chunks_mut(cols).enumerate() {
            for c in whole..cols {
                let number = |r| row(r, c).first_chunk::<BYTES>().map_or(0.0, |&bytes| F::one(simd, bytes));
                y[c] = (0..rows).map(|r| weights[v * rows + r] * number(r)).sum();
            }
        }
    }
}
