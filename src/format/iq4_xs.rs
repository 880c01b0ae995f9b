//! `IQ4_XS`: 256 weights in 136 bytes, 4.25 bits each; `w = d·(sc-32)·level[q]`, 16 unevenly spaced levels.
//!
//! ```text
//! byte  0    2          4           8
//!      | d  | scales_h | scales_l  | qs[128]: 16 bytes a sub-block, as in IQ4_NL
//!       f16   2 bits×8   4 bits×8
//! ```
//!
//! Sub-blocks of 32 weights. Equals `quantize_iq4_xs` and `dequantize_row_iq4_xs`.

use super::bits::{f16_at, f16_is_finite_at, inverse_or_zero, put_f16, round_half_even};
use super::codebook::IQ4_LEVELS;
use super::lanes::{self, LANES};
use super::search::{level_codes, level_scale, signed_largest};
use super::{Codec, Codes, Encode, Passes, Unpack, half_bits, to_decode};

const WEIGHTS: usize = 256;
const BYTES: usize = 136;
const SCALES_LOW_AT: usize = 4;
const CODES_AT: usize = 8;
/// Super-blocks that are searched together.
const TOGETHER: usize = LANES / 8;

pub(super) struct IQ4_XS;

impl Codec for IQ4_XS {
    const WEIGHTS: usize = WEIGHTS;
    const BYTES: usize = BYTES;
    const FIELDS: &'static [usize] = &[8, 128];
    const PAIRS: bool = true;
    const SHADER: &'static str = include_str!("../../shaders/format/iq4_xs.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode::<BYTES, WEIGHTS>(blocks, weights) {
            let d = f16_at(block, 0);
            let scales_high = u16::from_le_bytes([block[2], block[3]]);
            let codes = block[CODES_AT..].as_chunks::<16>().0;
            for (s, (codes, weights)) in codes.iter().zip(weights.as_chunks_mut::<32>().0).enumerate() {
                let low = u16::from(block[SCALES_LOW_AT + s / 2] >> (s % 2 * 4) & 15);
                let scale = low | (scales_high >> (2 * s) & 3) << 4;
                let scale = d * (i32::from(scale) - 32) as f32;
                for (l, &byte) in codes.iter().enumerate() {
                    weights[l] = scale * f32::from(IQ4_LEVELS[usize::from(byte & 15)]);
                    weights[l + 16] = scale * f32::from(IQ4_LEVELS[usize::from(byte >> 4)]);
                }
            }
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, 0)
    }
}

impl Codes<BYTES> for IQ4_XS {
    const LEAST: i8 = -127;
    const GREATEST: i8 = 113;
    const LEVELS: Option<[i8; 16]> = Some(IQ4_LEVELS);

    #[inline(always)]
    fn scales(block: &[u8; BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        let d = simd.half_to_float(half_bits(block, 0));
        let high = half_bits(block, 2);
        for s in 0..8 {
            let low = u16::from(block[SCALES_LOW_AT + s / 2] >> (s % 2 * 4) & 15);
            let stored = low | (high >> (2 * s) & 3) << 4;
            scales[s] = d * (i32::from(stored) - 32) as f32;
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; BYTES], unit: usize) -> S::Bytes {
        let mut codes = [0; 32];
        for j in 0..16 {
            codes[j] = block[CODES_AT + 16 * unit + j] & 15;
            codes[j + 16] = block[CODES_AT + 16 * unit + j] >> 4;
        }
        simd.load_bytes(&codes)
    }
}

impl Encode for IQ4_XS {
    const PASSES: Passes = Passes::SearchAndPack { sub_blocks: 8, parts: 4 };

    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        let blocks = blocks.as_chunks_mut::<BYTES>().0;
        for (weights, blocks) in weights.chunks(TOGETHER * WEIGHTS).zip(blocks.chunks_mut(TOGETHER)) {
            let x = lanes::transpose::<32>(weights);
            let scale = level_scale(&x);

            // The scale of largest magnitude, with its sign, becomes -32. The codes are those for the scales
            // before `d` is rounded to f16.
            let mut inverse = [0.0; LANES];
            for (b, block) in blocks.iter_mut().enumerate() {
                let fitted = &scale[8 * b..8 * b + 8];
                let d = -signed_largest(fitted) / 32.0;
                put_f16(block, 0, d);
                let (mut scales_low, mut scales_high) = ([0; 4], 0);
                for s in 0..8 {
                    let rounded = round_half_even(inverse_or_zero(d) * fitted[s]).clamp(-32, 31);
                    inverse[8 * b + s] = inverse_or_zero(d * rounded as f32);
                    let stored = (rounded + 32) as u16;
                    scales_low[s / 2] |= (stored as u8 & 15) << (s % 2 * 4);
                    scales_high |= stored >> 4 << (2 * s);
                }
                block[2..SCALES_LOW_AT].copy_from_slice(&scales_high.to_le_bytes());
                block[SCALES_LOW_AT..CODES_AT].copy_from_slice(&scales_low);
            }
            let codes = lanes::codes(&level_codes(&x, &inverse));
            for (block, codes) in blocks.iter_mut().zip(codes.as_chunks::<8>().0) {
                for (byte, packed) in block[CODES_AT..].iter_mut().enumerate() {
                    let (s, l) = (byte / 16, byte % 16);
                    *packed = codes[s][l] | codes[s][l + 16] << 4;
                }
            }
        }
    }
}
