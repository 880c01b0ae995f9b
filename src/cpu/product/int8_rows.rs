//! The kernel of int8 products: eight rows by up to 128 vectors.
//!
//! The 32 codes of a part of eight rows are unpacked and arranged once, so that a lane has a row, and stay in
//! registers while all vectors pass. Products and sums of a part, or of each half of it, are exact integers;
//! scales and mins are applied in f32.
//!
//! Error: a sum has an addition for each part, half of a part and min of the row, in order of columns.

use super::int8_vectors::{Block, Tile};
use crate::cpu::simd::{Simd, Work};
use crate::format::{Codes, is_signed};

/// Rows that are multiplied together.
pub(super) const ROWS: usize = 8;

/// Whole rows of a matrix, and vectors.
pub(super) struct Int8Rows<'a, const BYTES: usize, C: Codes<BYTES>> {
    /// The blocks of the rows. Past them may be more of the same matrix, whose next rows are asked for early.
    pub(super) matrix: &'a [u8],
    pub(super) row_bytes: usize,
    /// The rows.
    pub(super) rows: std::ops::Range<usize>,
    pub(super) vectors: &'a Tile,
    /// For each eight rows and each vector, eight sums. Those of rows past the last are of no meaning.
    pub(super) sums: &'a mut [[f32; ROWS]],
    pub(super) codes: std::marker::PhantomData<C>,
}

impl<const BYTES: usize, C: Codes<BYTES>> Work for Int8Rows<'_, BYTES, C> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { matrix, row_bytes, rows, vectors, sums, .. } = self;
        let parts = C::WEIGHTS / 32;
        let (mut scales, mut mins) = ([[0.0; 16]; ROWS], [[0.0; 16]; ROWS]);
        let count = vectors.count;
        for group in 0..sums.len() / count {
            let sums = &mut sums[group * count..][..count];
            let first = rows.start + ROWS * group;
            // Rows past the last are the last once more.
            let mut eight: [&[[u8; BYTES]]; ROWS] = [&[]; ROWS];
            for r in 0..ROWS {
                let start = (first + r).min(rows.end - 1) * row_bytes;
                eight[r] = matrix[start..start + row_bytes].as_chunks().0;
            }
            sums.fill([0.0; ROWS]);
            for b in 0..row_bytes / BYTES {
                let mut blocks = [&[0; BYTES]; ROWS];
                for r in 0..ROWS {
                    blocks[r] = &eight[r][b];
                }
                for r in 0..ROWS {
                    C::scales(blocks[r], simd, &mut scales[r], &mut mins[r]);
                }
                let next = (first + ROWS) * row_bytes + b * ROWS * BYTES;
                for unit in 0..parts / C::UNIT {
                    let bytes = ROWS * BYTES * C::UNIT / parts;
                    simd.prefetch(matrix, next + unit * bytes, bytes);
                    let part = unit * C::UNIT;
                    let x = &vectors.blocks[(b * parts + part) * count..];
                    let scaling = (&scales, &mins);
                    add::<BYTES, C, S, 0>(simd, (&blocks, unit), part, scaling, x, sums);
                    if C::UNIT > 1 {
                        let x = &x[count..];
                        add::<BYTES, C, S, 1>(simd, (&blocks, unit), part + 1, scaling, x, sums);
                    }
                    if C::UNIT > 2 {
                        let x = &x[2 * count..];
                        add::<BYTES, C, S, 2>(simd, (&blocks, unit), part + 2, scaling, x, sums);
                        let x = &x[count..];
                        add::<BYTES, C, S, 3>(simd, (&blocks, unit), part + 3, scaling, x, sums);
                    }
                }
            }
        }
    }
}

/// The greatest code less the least.
const fn span<const BYTES: usize, C: Codes<BYTES>>() -> i32 {
    C::GREATEST as i32 - C::LEAST as i32
}

/// The levels as they go into products.
#[inline(always)]
pub(super) fn stored_levels<const BYTES: usize, C: Codes<BYTES>>() -> Option<[u8; 16]> {
    let levels = C::LEVELS?;
    let mut stored = [0; 16];
    for i in 0..16 {
        let is_final = const { is_signed::<BYTES, C>() };
        stored[i] = if is_final { levels[i] as u8 } else { levels[i].wrapping_sub(C::LEAST) as u8 };
    }
    Some(stored)
}

/// Adds the products of part `PART` of a unit to the sums of all vectors.
#[inline(always)]
fn add<const BYTES: usize, C: Codes<BYTES>, S: Simd, const PART: usize>(
    simd: S,
    (blocks, unit): (&[&[u8; BYTES]; ROWS], usize),
    part: usize,
    (scales, mins): (&[[f32; 16]; ROWS], &[[f32; 16]; ROWS]),
    x: &[Block],
    sums: &mut [[f32; ROWS]],
) {
    let signed = const { is_signed::<BYTES, C>() };
    let offset = if signed { 0 } else { C::LEAST };
    let mut rows = [simd.splat_byte(0); ROWS];
    for r in 0..ROWS {
        rows[r] = C::codes::<PART, S>(simd, blocks[r], unit);
    }
    let levels = stored_levels::<BYTES, C>();
    let codes = if signed { simd.arrange::<true>(rows, levels) } else { simd.arrange::<false>(rows, levels) };

    let at = if C::HALVES { 2 * part } else { part };
    let scale = [simd.column(scales, at), simd.column(scales, if C::HALVES { at + 1 } else { at })];
    let min = if C::MINS {
        [simd.column(mins, at), simd.column(mins, if C::HALVES { at + 1 } else { at })]
    } else {
        [simd.splat(0.0); 2]
    };
    let x = &x[..sums.len()];
    for v in 0..sums.len() {
        let (sum, x) = (&mut sums[v], &x[v]);
        let mut total = simd.load(sum);
        let x_scale = simd.splat(x.scale);
        if C::HALVES {
            let mut low = dot::<BYTES, C, S, 0, 4>(simd, &codes, &x.codes);
            let mut high = dot::<BYTES, C, S, 4, 8>(simd, &codes, &x.codes);
            if offset != 0 {
                low = simd.add_i32(low, simd.splat_i32(i32::from(offset) * x.sums[0]));
                high = simd.add_i32(high, simd.splat_i32(i32::from(offset) * x.sums[1]));
            }
            let both = simd.mul(simd.to_f32(low), scale[0]);
            let both = simd.mul_add(simd.to_f32(high), scale[1], both);
            total = simd.mul_add(both, x_scale, total);
            if C::MINS {
                total = simd.neg_mul_add(min[0], simd.splat(x.scaled_sums[0]), total);
                total = simd.neg_mul_add(min[1], simd.splat(x.scaled_sums[1]), total);
            }
        } else {
            let mut dot = dot::<BYTES, C, S, 0, 8>(simd, &codes, &x.codes);
            if offset != 0 {
                dot = simd.add_i32(dot, simd.splat_i32(i32::from(offset) * (x.sums[0] + x.sums[1])));
            }
            total = simd.mul_add(simd.mul(simd.to_f32(dot), scale[0]), x_scale, total);
            if C::MINS {
                let x_sum = simd.splat(x.scaled_sums[0] + x.scaled_sums[1]);
                total = simd.neg_mul_add(min[0], x_sum, total);
            }
        }
        simd.store(total, sum);
    }
}

/// [`Simd::dot`] with as many products in 16 bits as the codes allow: 2·127·span·GROUP is below 2^15.
#[inline(always)]
fn dot<const BYTES: usize, C: Codes<BYTES>, S: Simd, const FROM: usize, const TO: usize>(
    simd: S,
    codes: &S::Codes,
    x: &[i8; 32],
) -> S::I32 {
    match span::<BYTES, C>() {
        0..=15 => simd.dot::<false, 8, FROM, TO>(codes, x),
        16..=31 => simd.dot::<false, 4, FROM, TO>(codes, x),
        32..=63 => simd.dot::<false, 2, FROM, TO>(codes, x),
        64..=127 => simd.dot::<false, 1, FROM, TO>(codes, x),
        _ => simd.dot::<true, 1, FROM, TO>(codes, x),
    }
}
