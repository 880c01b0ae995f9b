//! `Q6_K`: 256 weights in 210 bytes, 6.5625 bits each; `w = d·sc·q`, q in -32..32.
//!
//! ```text
//! byte  0         128      192          208
//!      | ql[128] | qh[64] | scales[16] | d  |
//!                           i8           f16
//! ```
//!
//! Sub-blocks of 16 weights. In each half (128 weights, 64 bytes of `ql`, 32 of `qh`), quarter k has weights
//! 32k+l: the low four bits of q+32 are in `ql[32·(k%2) + l]`, in the low nibble for k < 2, and the high two
//! in bits 2k.. of `qh[l]`. Equals `quantize_row_q6_K_ref` and `dequantize_row_q6_K`.

use super::bits::{f16_at, f16_is_finite_at, put_f16, round_half_even};
use super::lanes::{self, LANES};
use super::search::{ZERO_BELOW, signed_largest, signed_scale, stored_codes};
use super::{Codec, Codes, Encode, Passes, Unpack, half_bits, to_decode};

const WEIGHTS: usize = 256;
const BYTES: usize = 210;
const HIGH_AT: usize = 128;
const SCALES_AT: usize = 192;
const D_AT: usize = 208;
/// Super-blocks that are searched together.
const TOGETHER: usize = LANES / 16;

pub(super) struct Q6_K;

impl Codec for Q6_K {
    const WEIGHTS: usize = WEIGHTS;
    const BYTES: usize = BYTES;
    const FIELDS: &'static [usize] = &[128, 64, 16, 2];
    const SHADER: &'static str = include_str!("../../shaders/format/q6_k.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode::<BYTES, WEIGHTS>(blocks, weights) {
            let d = f16_at(block, D_AT);
            for (s, weights) in weights.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                let scale = d * f32::from(block[SCALES_AT + s] as i8);
                let (half, quarter, first) = (s / 8, s % 8 / 2, s % 2 * 16);
                let low = &block[64 * half + 32 * (quarter % 2) + first..][..16];
                let high = &block[HIGH_AT + 32 * half + first..][..16];
                for l in 0..16 {
                    let code = low[l] >> (quarter / 2 * 4) & 15 | (high[l] >> (2 * quarter) & 3) << 4;
                    weights[l] = scale * (i32::from(code) - 32) as f32;
                }
            }
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, D_AT)
    }
}

impl Codes<BYTES> for Q6_K {
    const LEAST: i8 = -32;
    const GREATEST: i8 = 31;
    const UNIT: usize = 4;
    const HALVES: bool = true;

    #[inline(always)]
    fn scales(block: &[u8; BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        let d = simd.half_to_float(half_bits(block, D_AT));
        for s in 0..16 {
            scales[s] = d * f32::from(block[SCALES_AT + s] as i8);
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; BYTES], unit: usize) -> S::Bytes {
        let mut codes = [0; 32];
        for l in 0..32 {
            let low = block[64 * unit + 32 * (PART % 2) + l] >> (PART / 2 * 4) & 15;
            let high = block[HIGH_AT + 32 * unit + l] >> (2 * PART) & 3;
            codes[l] = low | high << 4;
        }
        simd.load_bytes(&codes)
    }
}

impl Encode for Q6_K {
    const PASSES: Passes = Passes::SearchAndPack { sub_blocks: 16, parts: 4 };

    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        let blocks = blocks.as_chunks_mut::<BYTES>().0;
        for (weights, blocks) in weights.chunks(TOGETHER * WEIGHTS).zip(blocks.chunks_mut(TOGETHER)) {
            let x = lanes::transpose::<16>(weights);
            let fit = signed_scale(&x, 32);

            // The scales as stored; the one of largest magnitude, with its sign, becomes -128.
            let mut scale = [0.0; LANES];
            for (b, block) in blocks.iter_mut().enumerate() {
                let fitted = &fit.scale[16 * b..16 * b + 16];
                let max = signed_largest(fitted);
                if max.abs() < ZERO_BELOW {
                    block[SCALES_AT..].fill(0);
                    continue;
                }
                let inverse = -128.0 / max;
                let d = put_f16(block, D_AT, 1.0 / inverse);
                for s in 0..16 {
                    let rounded = round_half_even(inverse * fitted[s]).min(127) as i8;
                    block[SCALES_AT + s] = rounded as u8;
                    scale[16 * b + s] = d * f32::from(rounded);
                }
            }
            let codes = stored_codes(&x, (&scale, &[0.0; LANES]), (-32, 31, 32.0), &fit.codes);
            for (b, (block, codes)) in blocks.iter_mut().zip(codes.as_chunks::<16>().0).enumerate() {
                if signed_largest(&fit.scale[16 * b..16 * b + 16]).abs() < ZERO_BELOW {
                    block.fill(0);
                    continue;
                }
                for half in 0..2 {
                    let code = |quarter: usize, l: usize| codes[8 * half + 2 * quarter + l / 16][l % 16];
                    for l in 0..32 {
                        block[64 * half + l] = code(0, l) & 15 | code(2, l) << 4;
                        block[64 * half + 32 + l] = code(1, l) & 15 | code(3, l) << 4;
                        block[HIGH_AT + 32 * half + l] =
                            (0..4).fold(0, |bits, k| bits | code(k, l) >> 4 << (2 * k));
                    }
                }
            }
        }
    }
}
