//! `IQ3_S`: 256 weights, each four a vector of a codebook of 512, each 32 under a scale; 3.4375 bits per
//! weight.
//!
//! ```text
//! byte  0   2            66       74         106        110
//!       | d | 64 indices  | 8 high | 32 signs | 8 scales  |   d f16
//! ```
//!
//! Vector v has weights 4v and up: its index is byte 2 + v with bit v % 8 of byte 66 + v/8 above it. The sign
//! of weight j is bit j % 8 of byte 74 + j/8. Scale sc of weights 32b and up: low nibble of byte 106 + b/2
//! for even b, high for odd.
//!
//! w = ± d·(2sc + 1) · vector[index]. ggml's `dequantize_row_iq3_s`.

use super::bits::{f16_at, f16_is_finite_at};
use super::codebook::{IQ3_S as VECTORS, put_signed, signed_codes, word_of_two, words};
use super::{Codec, Codes, Unpack, half_bits, to_decode};

pub(super) struct IQ3_S;

impl Codec for IQ3_S {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 110;
    const FIELDS: &'static [usize] = &[2, 64, 8, 32, 4];
    const SHADER: &'static str = include_str!("../../shaders/format/iq3_s.wgsl");
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

impl Codes<{ IQ3_S::BYTES }> for IQ3_S {
    const LEAST: i8 = -15;
    const GREATEST: i8 = 15;

    #[inline(always)]
    fn scales(block: &[u8; IQ3_S::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        let d = simd.half_to_float(half_bits(block, 0));
        for s in 0..8 {
            scales[s] = d * f32::from(1 + 2 * (block[106 + s / 2] >> (s % 2 * 4) & 15));
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; IQ3_S::BYTES], unit: usize) -> S::Bytes {
        let high_bits = usize::from(block[66 + unit]);
        let mut words = [0; 4];
        for l in 0..4 {
            let low = usize::from(block[2 + 8 * unit + 2 * l]) | (high_bits >> (2 * l) & 1) << 8;
            let high = usize::from(block[3 + 8 * unit + 2 * l]) | (high_bits >> (2 * l + 1) & 1) << 8;
            words[l] = word_of_two(&VECTORS[low], &VECTORS[high]);
        }
        let minus = u32::from_le_bytes(block[74..].as_chunks().0[unit]);
        signed_codes(simd, words, minus, Self::LEAST)
    }
}

#[inline(always)]
fn decode(block: &[u8; IQ3_S::BYTES], weights: &mut [f32; IQ3_S::WEIGHTS]) {
    let d = f16_at(block, 0);
    let (indices, high, signs, scales) = (&block[2..66], &block[66..74], &block[74..106], &block[106..]);
    for (v, weights) in weights.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let index = usize::from(indices[v]) | usize::from(high[v / 8] >> (v % 8) & 1) << 8;
        let scale = d * f32::from(1 + 2 * (scales[v / 16] >> (v / 8 % 2 * 4) & 15));
        put_signed(weights, scale, &VECTORS[index], signs[v / 2] >> (v % 2 * 4));
    }
}
