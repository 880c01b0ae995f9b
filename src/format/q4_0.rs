//! `Q4_0`: 32 weights of four bits under one scale; 4.5 bits per weight.
//!
//! ```text
//! byte  0   2                 18
//!       | d | 32 nibbles       |   d f16; byte 2 + j has weight j low, weight j + 16 high
//! ```
//!
//! w = d·(q-8). The weight of the largest magnitude gets code 0, which reaches further than code 15.
//! ggml's `quantize_row_q4_0_ref`.

use super::bits::{code_line, f16_at, f16_is_finite_at, put_f16, truncate};
use super::extremes::first_of_largest_magnitude;
use super::pack::{pack_nibbles, unpack_nibbles};
use super::{Codec, Codes, Encode, Unpack, half_bits, to_decode, to_encode};

pub(super) struct Q4_0;

impl Codec for Q4_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 18;
    const FIELDS: &'static [usize] = &[2, 16];
    const SHADER: &'static str = include_str!("../../shaders/format/q4_0.wgsl");

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

impl Codes<{ Q4_0::BYTES }> for Q4_0 {
    const LEAST: i8 = -8;
    const GREATEST: i8 = 7;

    #[inline(always)]
    fn scales(block: &[u8; Q4_0::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        scales[0] = simd.half_to_float(half_bits(block, 0));
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; Q4_0::BYTES], _: usize) -> S::Bytes {
        let mut codes = [0; 32];
        for j in 0..16 {
            codes[j] = block[2 + j] & 15;
            codes[j + 16] = block[2 + j] >> 4;
        }
        simd.load_bytes(&codes)
    }
}

impl Encode for Q4_0 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (weights, block) in to_encode(weights, blocks) {
            encode(weights, block);
        }
    }
}

#[inline(always)]
fn decode(block: &[u8; Q4_0::BYTES], weights: &mut [f32; Q4_0::WEIGHTS]) {
    let [_, _, nibbles @ ..] = block;
    let d = f16_at(block, 0);
    for (w, q) in weights.iter_mut().zip(unpack_nibbles(nibbles)) {
        *w = (i32::from(q) - 8) as f32 * d;
    }
}

#[inline(always)]
fn encode(weights: &[f32; Q4_0::WEIGHTS], block: &mut [u8; Q4_0::BYTES]) {
    let d = first_of_largest_magnitude(weights) / -8.0;
    let (multiplier, zero) = code_line(d, 8.5);
    let mut codes = [0; 32];
    for (code, w) in codes.iter_mut().zip(weights) {
        *code = truncate(w * multiplier + zero).min(15) as u8;
    }
    put_f16(block, 0, d);
    block[2..].copy_from_slice(&pack_nibbles(&codes));
}
