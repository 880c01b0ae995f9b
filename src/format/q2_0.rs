//! `Q2_0`: 64 weights of two bits under one scale; 2.25 bits per weight.
//!
//! ```text
//! byte  0   2                 18
//!       | d | 64 codes         |   d f16; weight j is bits 2(j % 4) and up of byte 2 + j/4
//! ```
//!
//! w = d·(q-1), q = 0..=3; the encoder, ggml's `quantize_row_q2_0_ref`, writes no 3.

use super::bits::{code_line, f16_at, f16_is_finite_at, put_f16, round_half_away};
use super::extremes::largest_magnitude;
use super::{Codec, Codes, Encode, Unpack, half_bits, to_decode, to_encode};

pub(super) struct Q2_0;

impl Codec for Q2_0 {
    const WEIGHTS: usize = 64;
    const BYTES: usize = 18;
    const FIELDS: &'static [usize] = &[2, 16];
    const SHADER: &'static str = include_str!("../../shaders/format/q2_0.wgsl");

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

impl Codes<{ Q2_0::BYTES }> for Q2_0 {
    const LEAST: i8 = -1;
    const GREATEST: i8 = 2;

    #[inline(always)]
    fn scales(block: &[u8; Q2_0::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        scales[..2].fill(simd.half_to_float(half_bits(block, 0)));
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; Q2_0::BYTES], unit: usize) -> S::Bytes {
        simd.spread_pairs(block[2..].as_chunks().0[unit])
    }
}

impl Encode for Q2_0 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (weights, block) in to_encode(weights, blocks) {
            encode(weights, block);
        }
    }
}

#[inline(always)]
fn decode(block: &[u8; Q2_0::BYTES], weights: &mut [f32; Q2_0::WEIGHTS]) {
    let d = f16_at(block, 0);
    for (&byte, weights) in block[2..].iter().zip(weights.as_chunks_mut::<4>().0) {
        for (j, w) in weights.iter_mut().enumerate() {
            *w = (i32::from(byte >> (2 * j) & 3) - 1) as f32 * d;
        }
    }
}

#[inline(always)]
fn encode(weights: &[f32; Q2_0::WEIGHTS], block: &mut [u8; Q2_0::BYTES]) {
    let d = largest_magnitude(weights);
    let (multiplier, zero) = code_line(d, 1.0);
    let mut codes = [0; 64];
    for (code, w) in codes.iter_mut().zip(weights) {
        *code = (round_half_away(w * multiplier) + zero as i32) as u8;
    }
    put_f16(block, 0, d);
    for (byte, codes) in block[2..].iter_mut().zip(codes.as_chunks::<4>().0) {
        *byte = codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6;
    }
}
