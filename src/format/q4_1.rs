//! `Q4_1`: 32 weights of four bits with a scale and an offset; 5 bits per weight.
//!
//! ```text
//! byte  0   2   4                 20
//!       | d | m | 32 nibbles       |   d, m f16; byte 4 + j has weight j low, weight j + 16 high
//! ```
//!
//! w = d·q + m, from the least weight (q = 0) to the greatest (q = 15). ggml's `quantize_row_q4_1_ref`.

use super::bits::{code_line, f16_at, f16_is_finite_at, put_f16, truncate};
use super::extremes::least_and_greatest;
use super::pack::{pack_nibbles, unpack_nibbles};
use super::{Codec, Codes, Encode, Unpack, half_bits, to_decode, to_encode};

pub(super) struct Q4_1;

impl Codec for Q4_1 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 20;
    const FIELDS: &'static [usize] = &[4, 16];
    const SHADER: &'static str = include_str!("../../shaders/format/q4_1.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode(blocks, weights) {
            decode(block, weights);
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, 0) && f16_is_finite_at(block, 2)
    }
}

impl Codes<{ Q4_1::BYTES }> for Q4_1 {
    const LEAST: i8 = 0;
    const GREATEST: i8 = 15;
    const MINS: bool = true;

    #[inline(always)]
    fn scales(block: &[u8; Q4_1::BYTES], simd: impl Unpack, scales: &mut [f32; 16], mins: &mut [f32; 16]) {
        scales[0] = simd.half_to_float(half_bits(block, 0));
        mins[0] = -simd.half_to_float(half_bits(block, 2));
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; Q4_1::BYTES], _: usize) -> S::Bytes {
        let mut codes = [0; 32];
        for j in 0..16 {
            codes[j] = block[4 + j] & 15;
            codes[j + 16] = block[4 + j] >> 4;
        }
        simd.load_bytes(&codes)
    }
}

impl Encode for Q4_1 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (weights, block) in to_encode(weights, blocks) {
            encode(weights, block);
        }
    }
}

#[inline(always)]
fn decode(block: &[u8; Q4_1::BYTES], weights: &mut [f32; Q4_1::WEIGHTS]) {
    let [_, _, _, _, nibbles @ ..] = block;
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    for (w, q) in weights.iter_mut().zip(unpack_nibbles(nibbles)) {
        *w = f32::from(q) * d + m;
    }
}

#[inline(always)]
fn encode(weights: &[f32; Q4_1::WEIGHTS], block: &mut [u8; Q4_1::BYTES]) {
    let (least, greatest) = least_and_greatest(weights);
    let d = (greatest - least) / 15.0;
    let (multiplier, half) = code_line(d, 0.5);
    put_f16(block, 0, d);
    put_f16(block, 2, least);
    let mut codes = [0; 32];
    for (code, w) in codes.iter_mut().zip(weights) {
        *code = truncate((w - least) * multiplier + half).min(15) as u8;
    }
    block[4..].copy_from_slice(&pack_nibbles(&codes));
}
