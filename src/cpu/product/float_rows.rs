//! The kernels of products with F32, F16 and BF16 weights: eight rows by up to 128 vectors, in f32.
//!
//! For several vectors, eight columns of eight rows are converted and transposed once, and stay in registers
//! while all vectors pass. For one vector, a lane has the sum of every eighth column of a row.
//!
//! Error: a sum has an addition for each eight columns, and three before or after it.

use super::int8_rows::ROWS;
use crate::Format;
use crate::cpu::simd::{Simd, Work};
use std::ops::Range;

/// Rows of a matrix, and vectors.
pub(super) struct Multiply<'a> {
    pub(super) format: Format,
    /// The first row begins at 0, and each begins `stride` bytes after the one before.
    pub(super) matrix: &'a [u8],
    pub(super) stride: usize,
    pub(super) rows: Range<usize>,
    /// Columns, in each row and each vector.
    pub(super) cols: usize,
    pub(super) x: &'a FloatVectors<'a>,
    /// For each eight rows and each vector, eight sums. Those of rows past the last are of no meaning.
    pub(super) sums: &'a mut [[f32; ROWS]],
}

/// Vectors end to end, and in the order in which they are read.
pub(super) struct FloatVectors<'a> {
    x: &'a [f32],
    count: usize,
    /// Of several vectors, eight numbers of each, then the next eight: vectors end to end may be so far apart
    /// that they compete for the same lines of the cache.
    eights: Vec<[f32; 8]>,
}

impl<'a> FloatVectors<'a> {
    pub(super) fn new(x: &'a [f32], cols: usize) -> Self {
        let count = x.len() / cols;
        let mut eights = Vec::new();
        if count > 1 {
            eights.reserve_exact(cols / 8 * count);
            for c in 0..cols / 8 {
                eights.extend(x.chunks(cols).map(|x| x.as_chunks().0[c]));
            }
        }
        Self { x, count, eights }
    }
}

impl Work for Multiply<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.format {
            Format::F16 => multiply::<2, F16, S>(simd, self),
            Format::BF16 => multiply::<2, Bf16, S>(simd, self),
            _ => multiply::<4, F32, S>(simd, self),
        }
    }
}

/// A float format of `BYTES` bytes a weight.
pub(super) trait Float<const BYTES: usize> {
    fn load<S: Simd>(simd: S, bytes: &[[u8; BYTES]; 8]) -> S::F32;
    fn one<S: Simd>(simd: S, bytes: [u8; BYTES]) -> f32;
}

pub(super) struct F16;
pub(super) struct Bf16;
pub(super) struct F32;

impl Float<2> for F16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, bytes: &[[u8; 2]; 8]) -> S::F32 {
        simd.load_f16(bytes)
    }

    #[inline(always)]
    fn one<S: Simd>(simd: S, bytes: [u8; 2]) -> f32 {
        simd.half_to_float(u16::from_le_bytes(bytes))
    }
}

impl Float<2> for Bf16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, bytes: &[[u8; 2]; 8]) -> S::F32 {
        simd.load_bf16(bytes)
    }

    #[inline(always)]
    fn one<S: Simd>(_: S, bytes: [u8; 2]) -> f32 {
        crate::format::bf16_to_f32(u16::from_le_bytes(bytes))
    }
}

impl Float<4> for F32 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, bytes: &[[u8; 4]; 8]) -> S::F32 {
        simd.load_f32(bytes)
    }

    #[inline(always)]
    fn one<S: Simd>(_: S, bytes: [u8; 4]) -> f32 {
        f32::from_le_bytes(bytes)
    }
}

#[inline(always)]
fn multiply<const BYTES: usize, F: Float<BYTES>, S: Simd>(simd: S, work: Multiply) {
    let Multiply { matrix, stride, rows, cols, x: &FloatVectors { x, count, ref eights }, sums, .. } = work;
    for (group, sums) in sums.chunks_exact_mut(count).enumerate() {
        let first = rows.start + ROWS * group;
        // Rows past the last are the last once more.
        let mut eight: [&[[u8; BYTES]]; ROWS] = [&[]; ROWS];
        for (r, row) in eight.iter_mut().enumerate() {
            let start = (first + r).min(rows.end - 1) * stride;
            *row = matrix[start..start + cols * BYTES].as_chunks().0;
        }
        let next =
            |c: usize| simd.prefetch(matrix, (first + ROWS) * stride + c * ROWS * BYTES, 8 * ROWS * BYTES);
        if count == 1 {
            sums[0] = multiply_one::<BYTES, F, S>(simd, &eight, x, next);
            continue;
        }
        sums.fill([0.0; ROWS]);
        for c in 0..cols / 8 {
            next(8 * c);
            let mut columns = [simd.splat(0.0); 8];
            for r in 0..ROWS {
                columns[r] = F::load(simd, &eight[r].as_chunks().0[c]);
            }
            let columns = simd.transpose(columns);
            let x = &eights[c * count..][..count];
            for v in 0..count {
                // Two chains, so that not every product waits for the one before.
                let mut even = simd.mul(columns[0], simd.splat(x[v][0]));
                let mut odd = simd.mul(columns[1], simd.splat(x[v][1]));
                for i in 1..4 {
                    even = simd.mul_add(columns[2 * i], simd.splat(x[v][2 * i]), even);
                    odd = simd.mul_add(columns[2 * i + 1], simd.splat(x[v][2 * i + 1]), odd);
                }
                simd.store(simd.add(simd.load(&sums[v]), simd.add(even, odd)), &mut sums[v]);
            }
        }
        for c in cols / 8 * 8..cols {
            let mut column = [0.0; ROWS];
            for (weight, row) in column.iter_mut().zip(&eight) {
                *weight = F::one(simd, row[c]);
            }
            let column = simd.load(&column);
            for (v, sum) in sums.iter_mut().enumerate() {
                simd.store(simd.mul_add(column, simd.splat(x[v * cols + c]), simd.load(sum)), sum);
            }
        }
    }
}

/// The dot products of eight rows with `x`. Calls `next` before each eight columns.
#[inline(always)]
fn multiply_one<const BYTES: usize, F: Float<BYTES>, S: Simd>(
    simd: S,
    rows: &[&[[u8; BYTES]]; ROWS],
    x: &[f32],
    next: impl Fn(usize),
) -> [f32; ROWS] {
    let (x_eights, rest) = x.as_chunks();
    let whole = 8 * x_eights.len();
    let mut totals = [simd.splat(0.0); ROWS];
    for c in 0..x_eights.len() {
        next(8 * c);
        let x = simd.load(&x_eights[c]);
        for r in 0..ROWS {
            totals[r] = simd.mul_add(F::load(simd, &rows[r].as_chunks().0[c]), x, totals[r]);
        }
    }
    let mut sums = [0.0; ROWS];
    for r in 0..ROWS {
        sums[r] = simd.sum(totals[r]);
        for (x, &weight) in rest.iter().zip(&rows[r][whole..]) {
            sums[r] += x * F::one(simd, weight);
        }
    }
    sums
}
