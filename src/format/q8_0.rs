//! `Q8_0`: 32 weights of eight bits under one scale; 8.5 bits per weight.
//!
//! ```text
//! byte  0   2                 34
//!       | d | 32 codes         |   d f16; codes i8
//! ```
//!
//! w = d·q, |q| ≤ 127. ggml's `quantize_row_q8_0_ref`.

use super::bits::{code_line, f16_at, f16_is_finite_at, put_f16, round_half_away};
use super::extremes::largest_magnitude;
use super::{Codec, Codes, Encode, Unpack, half_bits, to_decode, to_encode};

pub(super) struct Q8_0;

impl Codec for Q8_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 34;
    const FIELDS: &'static [usize] = &[2, 32];
    const SHADER: &'static str = include_str!("../../shaders/format/q8_0.wgsl");

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

impl Codes<{ Q8_0::BYTES }> for Q8_0 {
    const LEAST: i8 = -128;
    const GREATEST: i8 = 127;

    #[inline(always)]
    fn scales(block: &[u8; Q8_0::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        scales[0] = simd.half_to_float(half_bits(block, 0));
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; Q8_0::BYTES], _: usize) -> S::Bytes {
        let mut codes = [0; 32];
        codes.copy_from_slice(&block[2..]);
        simd.load_bytes(&codes)
    }
}

impl Encode for Q8_0 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (weights, block) in to_encode(weights, blocks) {
            encode(weights, block);
        }
    }
}

#[inline(always)]
fn decode(block: &[u8; Q8_0::BYTES], weights: &mut [f32; Q8_0::WEIGHTS]) {
    let [_, _, codes @ ..] = block;
    let d = f16_at(block, 0);
    for (w, &q) in weights.iter_mut().zip(codes) {
        *w = f32::from(q as i8) * d;
    }
}

#[inline(always)]
fn encode(weights: &[f32; Q8_0::WEIGHTS], block: &mut [u8; Q8_0::BYTES]) {
    let d = largest_magnitude(weights) / 127.0;
    let (multiplier, _) = code_line(d, 0.0);
    put_f16(block, 0, d);
    for (code, w) in block[2..].iter_mut().zip(weights) {
        *code = round_half_away(w * multiplier) as u8;
    }
}
