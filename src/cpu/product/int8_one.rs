//! The kernel of int8 products with one vector: row by row, eight rows for each look at the vector.
//!
//! A lane has the sum of every eighth run of four columns, and rows are added up at their end. For one vector
//! that costs less than arranging codes so that a lane has a row.
//!
//! Error: a lane has an addition for each part of the row and for each eighth min, and three follow.

use super::int8_rows::{ROWS, stored_levels};
use super::int8_vectors::{Block, Single};
use crate::cpu::simd::{Simd, Work};
use crate::format::{Codes, is_signed};
use std::marker::PhantomData;
use std::ops::Range;

/// Whole rows of a matrix, and a vector.
pub(super) struct Int8One<'a, const BYTES: usize, C: Codes<BYTES>> {
    /// The matrix, whose next rows are asked for early.
    pub(super) matrix: &'a [u8],
    pub(super) row_bytes: usize,
    /// The rows.
    pub(super) rows: Range<usize>,
    pub(super) blocks: &'a [Block],
    pub(super) single: &'a Single,
    /// For each eight rows, eight sums. Those of rows past the last are of no meaning.
    pub(super) sums: &'a mut [[f32; ROWS]],
    pub(super) codes: PhantomData<C>,
}

impl<const BYTES: usize, C: Codes<BYTES>> Work for Int8One<'_, BYTES, C> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { matrix, row_bytes, rows, blocks: x, single, sums, .. } = self;
        let parts = C::WEIGHTS / 32;
        let (x_scales, x_sums, scale_count) = if C::HALVES {
            (&single.half_scales[..], &single.half_sums[..], 2 * parts)
        } else {
            (&single.scales[..], &single.sums[..], parts)
        };
        let (mut scales, mut mins) = ([[0.0; 16]; ROWS], [[0.0; 16]; ROWS]);
        for group in 0..sums.len() {
            let first = rows.start + ROWS * group;
            // Rows past the last are the last once more.
            let mut eight: [&[[u8; BYTES]]; ROWS] = [&[]; ROWS];
            for r in 0..ROWS {
                let start = (first + r).min(rows.end - 1) * row_bytes;
                eight[r] = matrix[start..start + row_bytes].as_chunks().0;
            }
            let mut totals = [simd.splat(0.0); ROWS];
            for b in 0..row_bytes / BYTES {
                let mut blocks = [&[0; BYTES]; ROWS];
                for r in 0..ROWS {
                    blocks[r] = &eight[r][b];
                }
                let x_scales = &x_scales[b * scale_count..][..scale_count];
                for r in 0..ROWS {
                    C::scales(blocks[r], simd, &mut scales[r], &mut mins[r]);
                    for i in 0..scale_count {
                        scales[r][i] *= x_scales[i];
                    }
                    if C::MINS {
                        // Mins past the last are 0; behind the sums of the vector are zeros.
                        for i in (0..scale_count).step_by(8) {
                            let (min, x_sum) = (&mins[r][i..], &x_sums[b * scale_count + i..]);
                            if let (Some(min), Some(x_sum)) = (min.first_chunk(), x_sum.first_chunk()) {
                                totals[r] = simd.neg_mul_add(simd.load(min), simd.load(x_sum), totals[r]);
                            }
                        }
                    }
                }
                let next = (first + ROWS) * row_bytes + b * ROWS * BYTES;
                for unit in 0..parts / C::UNIT {
                    let bytes = ROWS * BYTES * C::UNIT / parts;
                    simd.prefetch(matrix, next + unit * bytes, bytes);
                    let part = unit * C::UNIT;
                    let x = &x[b * parts + part..][..C::UNIT];
                    add::<BYTES, C, S, 0>(simd, (&blocks, unit), part, &scales, &x[0], &mut totals);
                    if C::UNIT > 1 {
                        add::<BYTES, C, S, 1>(simd, (&blocks, unit), part + 1, &scales, &x[1], &mut totals);
                    }
                    if C::UNIT > 2 {
                        add::<BYTES, C, S, 2>(simd, (&blocks, unit), part + 2, &scales, &x[2], &mut totals);
                        add::<BYTES, C, S, 3>(simd, (&blocks, unit), part + 3, &scales, &x[3], &mut totals);
                    }
                }
            }
            for r in 0..ROWS {
                sums[group][r] = simd.sum(totals[r]);
            }
        }
    }
}

/// Adds the products of part `PART` of a unit to the sums.
#[inline(always)]
fn add<const BYTES: usize, C: Codes<BYTES>, S: Simd, const PART: usize>(
    simd: S,
    (blocks, unit): (&[&[u8; BYTES]; ROWS], usize),
    part: usize,
    scales: &[[f32; 16]; ROWS],
    x: &Block,
    totals: &mut [S::F32; ROWS],
) {
    let signed = const { is_signed::<BYTES, C>() };
    // Unsigned codes are counted from the least; what that adds is subtracted in integers.
    let offset = if signed { 0 } else { C::LEAST.unsigned_abs() };
    let excess = simd.dot_row::<false>(simd.splat_byte(offset), None, &x.codes);
    let levels = stored_levels::<BYTES, C>();
    for r in 0..ROWS {
        let codes = C::codes::<PART, S>(simd, blocks[r], unit);
        let mut dot = if signed {
            simd.dot_row::<true>(codes, levels, &x.codes)
        } else {
            simd.dot_row::<false>(codes, levels, &x.codes)
        };
        if offset != 0 {
            dot = simd.sub_i32(dot, excess);
        }
        let scale = if C::HALVES {
            simd.splat_halves(scales[r][2 * part], scales[r][2 * part + 1])
        } else {
            simd.splat(scales[r][part])
        };
        totals[r] = simd.mul_add(simd.to_f32(dot), scale, totals[r]);
    }
}
