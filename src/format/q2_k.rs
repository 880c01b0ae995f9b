//! `Q2_K`: 256 weights in 84 bytes, 2.625 bits each; `w = d·sc·q - dmin·m`, q in 0..4.
//!
//! ```text
//! byte  0                       16       80   82
//!      | scales[16]            | qs[64] | d  | dmin |
//!        low nibble sc, high m            f16  f16
//! ```
//!
//! Sub-blocks of 16 weights. In each half (128 weights, 32 bytes of `qs`), bits 2j.. of byte l hold weight
//! 32j+l. Equals `quantize_row_q2_K_ref` and `dequantize_row_q2_K`.

use super::bits::{f16_at, f16_is_finite_at, put_f16, round_half_even};
use super::lanes::{self, LANES};
use super::search::{AffineSearch, scale_and_min, stored_codes};
use super::{Codec, Codes, Encode, Passes, Unpack, half_bits, to_decode};
use std::array::from_fn;

const WEIGHTS: usize = 256;
const BYTES: usize = 84;
const CODES_AT: usize = 16;
const D_AT: usize = 80;
const DMIN_AT: usize = 82;
/// Super-blocks that are searched together.
const TOGETHER: usize = LANES / 16;

const SEARCH: AffineSearch =
    AffineSearch { max_code: 3, first: -0.5, step: 0.1, steps: 15, absolute_error: true };

pub(super) struct Q2_K;

impl Codec for Q2_K {
    const WEIGHTS: usize = WEIGHTS;
    const BYTES: usize = BYTES;
    const FIELDS: &'static [usize] = &[16, 64, 4];
    const SHADER: &'static str = include_str!("../../shaders/format/q2_k.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode::<BYTES, WEIGHTS>(blocks, weights) {
            let (d, dmin) = (f16_at(block, D_AT), f16_at(block, DMIN_AT));
            for (s, weights) in weights.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                let (scale, min) = (d * f32::from(block[s] & 15), dmin * f32::from(block[s] >> 4));
                let (half, shift, first) = (s / 8, s % 8 / 2 * 2, s % 2 * 16);
                for (l, weight) in weights.iter_mut().enumerate() {
                    let code = block[CODES_AT + 32 * half + first + l] >> shift & 3;
                    *weight = scale * f32::from(code) - min;
                }
            }
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, D_AT) && f16_is_finite_at(block, DMIN_AT)
    }
}

impl Codes<BYTES> for Q2_K {
    const LEAST: i8 = 0;
    const GREATEST: i8 = 3;
    const UNIT: usize = 4;
    const HALVES: bool = true;
    const MINS: bool = true;

    #[inline(always)]
    fn scales(block: &[u8; BYTES], simd: impl Unpack, scales: &mut [f32; 16], mins: &mut [f32; 16]) {
        let (d, dmin) =
            (simd.half_to_float(half_bits(block, D_AT)), simd.half_to_float(half_bits(block, DMIN_AT)));
        for s in 0..16 {
            scales[s] = d * f32::from(block[s] & 15);
            mins[s] = dmin * f32::from(block[s] >> 4);
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; BYTES], unit: usize) -> S::Bytes {
        let mut codes = [0; 32];
        for l in 0..32 {
            codes[l] = block[CODES_AT + 32 * unit + l] >> (2 * PART) & 3;
        }
        simd.load_bytes(&codes)
    }
}

impl Encode for Q2_K {
    const PASSES: Passes = Passes::SearchAndPack { sub_blocks: 16, parts: 4 };

    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        let blocks = blocks.as_chunks_mut::<BYTES>().0;
        for (weights, blocks) in weights.chunks(TOGETHER * WEIGHTS).zip(blocks.chunks_mut(TOGETHER)) {
            let x = lanes::transpose::<16>(weights);
            let mut w = x;
            for w in w.as_flattened_mut() {
                *w = w.abs();
            }
            let fit = scale_and_min(&x, &w, &SEARCH);

            // The scales as stored.
            let (mut scale, mut min) = ([0.0; LANES], [0.0; LANES]);
            for (b, block) in blocks.iter_mut().enumerate() {
                let lanes = 16 * b..16 * b + 16;
                let (d, scales) = four_bits(&fit.scale[lanes.clone()], block, D_AT);
                let (dmin, mins) = four_bits(&fit.min[lanes], block, DMIN_AT);
                for s in 0..16 {
                    block[s] = scales[s] | mins[s] << 4;
                    scale[16 * b + s] = d * f32::from(block[s] & 15);
                    min[16 * b + s] = dmin * f32::from(block[s] >> 4);
                }
            }
            let codes = stored_codes(&x, (&scale, &min), (0, SEARCH.max_code, 0.0), &fit.codes);
            for (block, codes) in blocks.iter_mut().zip(codes.as_chunks::<16>().0) {
                for (byte, packed) in block[CODES_AT..D_AT].iter_mut().enumerate() {
                    let (first, l) = (byte / 32 * 8 + byte % 32 / 16, byte % 16);
                    *packed = (0..4).fold(0, |bits, j| bits | codes[first + 2 * j][l] << (2 * j));
                }
            }
        }
    }
}

/// Rounds the scales of a super-block to four bits with a common f16 scale, stores that at `offset` and
/// returns both.
#[inline(always)]
fn four_bits(scales: &[f32], block: &mut [u8], offset: usize) -> (f32, [u8; 16]) {
    let max = scales.iter().fold(0.0, |max, &x| if x > max { x } else { max });
    let inverse = if max > 0.0 { 15.0 / max } else { 0.0 };
    (put_f16(block, offset, max / 15.0), from_fn(|j| round_half_even(inverse * scales[j]) as u8))
}
