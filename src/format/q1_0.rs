//! `Q1_0`: the sign of each of 128 weights, and their mean magnitude; 1.125 bits per weight.
//!
//! ```text
//! byte  0   2                 18
//!       | d | 128 sign bits    |   d f16; weight j is bit j % 8 of byte 2 + j/8, set when it is not negative
//! ```
//!
//! w = d·(2q-1). ggml's `quantize_row_q1_0_ref`.

use super::bits::{f16_at, f16_is_finite_at, put_f16};
use super::{Codec, Codes, Encode, Unpack, half_bits, to_decode, to_encode};

pub(super) struct Q1_0;

impl Codec for Q1_0 {
    const WEIGHTS: usize = 128;
    const BYTES: usize = 18;
    const FIELDS: &'static [usize] = &[2, 16];
    const SHADER: &'static str = include_str!("../../shaders/format/q1_0.wgsl");

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

impl Codes<{ Q1_0::BYTES }> for Q1_0 {
    const LEAST: i8 = -1;
    const GREATEST: i8 = 1;

    #[inline(always)]
    fn scales(block: &[u8; Q1_0::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        scales[..4].fill(simd.half_to_float(half_bits(block, 0)));
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; Q1_0::BYTES], unit: usize) -> S::Bytes {
        // 2 where a bit is set.
        let bits = simd.mask_of_bits(u32::from_le_bytes(block[2..].as_chunks().0[unit]));
        simd.and(bits, simd.splat_byte(2))
    }
}

impl Encode for Q1_0 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (weights, block) in to_encode(weights, blocks) {
            encode(weights, block);
        }
    }
}

#[inline(always)]
fn decode(block: &[u8; Q1_0::BYTES], weights: &mut [f32; Q1_0::WEIGHTS]) {
    let d = f16_at(block, 0);
    for (&byte, weights) in block[2..].iter().zip(weights.as_chunks_mut::<8>().0) {
        for (j, w) in weights.iter_mut().enumerate() {
            *w = if byte >> j & 1 == 1 { d } else { -d };
        }
    }
}

#[inline(always)]
fn encode(weights: &[f32; Q1_0::WEIGHTS], block: &mut [u8; Q1_0::BYTES]) {
    // The order of this sum is part of the format.
    let mut sum = 0.0;
    for w in weights {
        sum += w.abs();
    }
    put_f16(block, 0, sum / 128.0);
    for (byte, weights) in block[2..].iter_mut().zip(weights.as_chunks::<8>().0) {
        *byte = 0;
        for (j, &w) in weights.iter().enumerate() {
            *byte |= u8::from(w >= 0.0) << j;
        }
    }
}
