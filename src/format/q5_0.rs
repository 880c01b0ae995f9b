//! `Q5_0`: 32 weights of five bits under one scale; 5.5 bits per weight.
//!
//! ```text
//! byte  0   2        6                 22
//!       | d | fifths | 32 nibbles       |   d f16; bit j of the u32 `fifths` is weight j's fifth bit;
//!                                           byte 6 + j has the low bits of weight j low, of j + 16 high
//! ```
//!
//! w = d·(q-16). The weight of the largest magnitude gets code 0, which reaches further than code 31.
//! ggml's `quantize_row_q5_0_ref`.

use super::bits::{code_line, f16_at, f16_is_finite_at, put_f16, truncate};
use super::extremes::first_of_largest_magnitude;
use super::pack::{pack_fifth_bits, pack_nibbles, unpack_five_bits};
use super::{Codec, Codes, Encode, Unpack, half_bits, to_decode, to_encode};

pub(super) struct Q5_0;

impl Codec for Q5_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 22;
    const FIELDS: &'static [usize] = &[2, 4, 16];
    const SHADER: &'static str = include_str!("../../shaders/format/q5_0.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode(blocks, weights) {
            decode(block, weights);
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, 0)
    }
}

impl Codes<{ Q5_0::BYTES }> for Q5_0 {
    const LEAST: i8 = -16;
    const GREATEST: i8 = 15;

    #[inline(always)]
    fn scales(block: &[u8; Q5_0::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        scales[0] = simd.half_to_float(half_bits(block, 0));
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; Q5_0::BYTES], _: usize) -> S::Bytes {
        let mut low = [0; 32];
        for j in 0..16 {
            low[j] = block[6 + j] & 15;
            low[j + 16] = block[6 + j] >> 4;
        }
        let fifths = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
        simd.or(simd.load_bytes(&low), simd.and(simd.mask_of_bits(fifths), simd.splat_byte(16)))
    }
}

impl Encode for Q5_0 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (weights, block) in to_encode(weights, blocks) {
            encode(weights, block);
        }
    }
}

#[inline(always)]
fn decode(block: &[u8; Q5_0::BYTES], weights: &mut [f32; Q5_0::WEIGHTS]) {
    let &[_, _, f0, f1, f2, f3, ref nibbles @ ..] = block;
    let d = f16_at(block, 0);
    let codes = unpack_five_bits(nibbles, u32::from_le_bytes([f0, f1, f2, f3]));
    for (w, q) in weights.iter_mut().zip(codes) {
        *w = (i32::from(q) - 16) as f32 * d;
    }
}

#[inline(always)]
fn encode(weights: &[f32; Q5_0::WEIGHTS], block: &mut [u8; Q5_0::BYTES]) {
    let d = first_of_largest_magnitude(weights) / -16.0;
    let (multiplier, zero) = code_line(d, 16.5);
    let mut codes = [0; 32];
    for (code, w) in codes.iter_mut().zip(weights) {
        *code = truncate(w * multiplier + zero).min(31) as u8;
    }
    put_f16(block, 0, d);
    block[2..6].copy_from_slice(&pack_fifth_bits(&codes).to_le_bytes());
    block[6..].copy_from_slice(&pack_nibbles(&codes));
}
