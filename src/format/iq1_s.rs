//! `IQ1_S`: 256 weights, each eight a vector of a codebook of 2048, each 32 under a scale; 1.5625 bits per
//! weight.
//!
//! ```text
//! byte  0   2            34             50
//!       | d | 32 indices  | 8 high, u16   |   d f16
//! ```
//!
//! Vector v has weights 8v and up: its index is byte 2 + v with bits 3(v % 4) and up of the u16 of weights
//! 32(v/4) above it. Bits 12..15 of that u16 are the scale sc, bit 15 the sign of the shift.
//!
//! w = d·(2sc + 1) · (vector[index] ± 1/8). ggml's `dequantize_row_iq1_s`.

use super::bits::{f16_at, f16_is_finite_at};
use super::codebook::{IQ1 as VECTORS, put_shifted, shifted_codes, word, words};
use super::{Codec, Codes, Unpack, half_bits, to_decode};

pub(super) struct IQ1_S;

impl Codec for IQ1_S {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 50;
    const FIELDS: &'static [usize] = &[2, 32, 16];
    const SHADER: &'static str = include_str!("../../shaders/format/iq1_s.wgsl");
    const GRID: Option<fn() -> Vec<u32>> = Some(|| words(&VECTORS));

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

impl Codes<{ IQ1_S::BYTES }> for IQ1_S {
    const LEAST: i8 = -9;
    const GREATEST: i8 = 9;

    #[inline(always)]
    fn scales(block: &[u8; IQ1_S::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        let d = simd.half_to_float(half_bits(block, 0));
        for s in 0..8 {
            let high = half_bits(block, 34 + 2 * s);
            scales[s] = d * f32::from(2 * (high >> 12 & 7) + 1) * 0.125;
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; IQ1_S::BYTES], unit: usize) -> S::Bytes {
        let high = half_bits(block, 34 + 2 * unit);
        let mut words = [0; 4];
        for l in 0..4 {
            let index = u16::from(block[2 + 4 * unit + l]) | (high >> (3 * l) & 7) << 8;
            words[l] = word(&VECTORS[usize::from(index)]);
        }
        shifted_codes(simd, words, [high >> 15; 4])
    }
}

#[inline(always)]
fn decode(block: &[u8; IQ1_S::BYTES], weights: &mut [f32; IQ1_S::WEIGHTS]) {
    let d = f16_at(block, 0);
    let (indices, high) = block[2..].split_at(32);
    for (v, weights) in weights.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let high = usize::from(u16::from_le_bytes(high.as_chunks().0[v / 4]));
        let index = usize::from(indices[v]) | (high >> (v % 4 * 3) & 7) << 8;
        let scale = d * (2 * (high >> 12 & 7) + 1) as f32;
        put_shifted(weights, scale, &VECTORS[index], high >> 15 == 1);
    }
}
