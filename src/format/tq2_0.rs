//! `TQ2_0`: 256 weights of three levels, two bits each, under one scale; 2.0625 bits per weight.
//!
//! ```text
//! byte  0                 64  66
//!       | 256 codes        | d |   d f16; weight 128h + 32n + m is bits 2n and up of byte 32h + m
//! ```
//!
//! w = d·(q-1). ggml's `quantize_row_tq2_0_ref`.

use super::bits::{code_line, f16_at, f16_is_finite_at, put_f16, round_half_away};
use super::extremes::largest_magnitude;
use super::{Codec, Codes, Encode, Unpack, half_bits, to_decode, to_encode};

pub(super) struct TQ2_0;

impl Codec for TQ2_0 {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 66;
    const FIELDS: &'static [usize] = &[64, 2];
    const SHADER: &'static str = include_str!("../../shaders/format/tq2_0.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode(blocks, weights) {
            decode(block, weights);
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, 64)
    }
}

impl Codes<{ TQ2_0::BYTES }> for TQ2_0 {
    const LEAST: i8 = -1;
    const GREATEST: i8 = 2;
    const UNIT: usize = 4;

    #[inline(always)]
    fn scales(block: &[u8; TQ2_0::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        scales[..8].fill(simd.half_to_float(half_bits(block, 64)));
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; TQ2_0::BYTES], unit: usize) -> S::Bytes {
        let mut codes = [0; 32];
        for m in 0..32 {
            codes[m] = block[32 * unit + m] >> (2 * PART) & 3;
        }
        simd.load_bytes(&codes)
    }
}

impl Encode for TQ2_0 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (weights, block) in to_encode(weights, blocks) {
            encode(weights, block);
        }
    }
}

#[inline(always)]
fn decode(block: &[u8; TQ2_0::BYTES], weights: &mut [f32; TQ2_0::WEIGHTS]) {
    let d = f16_at(block, 64);
    for (bytes, weights) in block[..64].as_chunks::<32>().0.iter().zip(weights.as_chunks_mut::<128>().0) {
        for (n, weights) in weights.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (w, byte) in weights.iter_mut().zip(bytes) {
                *w = (i32::from(byte >> (2 * n) & 3) - 1) as f32 * d;
            }
        }
    }
}

#[inline(always)]
fn encode(weights: &[f32; TQ2_0::WEIGHTS], block: &mut [u8; TQ2_0::BYTES]) {
    let (d, codes) = ternary(weights);
    for (bytes, codes) in block[..64].as_chunks_mut::<32>().0.iter_mut().zip(codes.as_chunks::<128>().0) {
        for (m, byte) in bytes.iter_mut().enumerate() {
            *byte = codes[m] | codes[32 + m] << 2 | codes[64 + m] << 4 | codes[96 + m] << 6;
        }
    }
    put_f16(block, 64, d);
}

/// The scale of 256 weights, and a code of 0, 1 or 2 for each.
#[inline(always)]
pub(super) fn ternary(weights: &[f32; 256]) -> (f32, [u8; 256]) {
    let d = largest_magnitude(weights);
    let (multiplier, _) = code_line(d, 0.0);
    let mut codes = [0; 256];
    for (code, w) in codes.iter_mut().zip(weights) {
        *code = (round_half_away(w * multiplier) + 1) as u8;
    }
    (d, codes)
}
