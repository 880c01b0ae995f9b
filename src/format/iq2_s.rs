//! `IQ2_S`: 256 weights, each eight a vector of a codebook of 1024, each 16 under a scale; 2.5625 bits per
//! weight.
//!
//! ```text
//! byte  0   2            34         66       74          82
//!       | d | 32 indices  | 32 signs | 8 high | 16 scales  |   d f16
//! ```
//!
//! Vector v has weights 8v and up: its index is byte 2 + v with bits 2(v % 4) and up of byte 66 + v/4 above
//! it, its signs are byte 34 + v. Scale sc of weights 16s and up: low nibble of byte 74 + s/2 for even s,
//! high for odd.
//!
//! w = ± d·(sc + 1/2)/4 · vector[index]. ggml's `dequantize_row_iq2_s`.

use super::bits::{f16_at, f16_is_finite_at};
use super::codebook::{IQ2_S as VECTORS, put_signed, signed_codes, word, words};
use super::{Codec, Codes, Unpack, half_bits, to_decode};

pub(super) struct IQ2_S;

impl Codec for IQ2_S {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 82;
    const FIELDS: &'static [usize] = &[2, 64, 8, 8];
    const SHADER: &'static str = include_str!("../../shaders/format/iq2_s.wgsl");
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

impl Codes<{ IQ2_S::BYTES }> for IQ2_S {
    const LEAST: i8 = -43;
    const GREATEST: i8 = 43;
    const HALVES: bool = true;

    #[inline(always)]
    fn scales(block: &[u8; IQ2_S::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        let d = simd.half_to_float(half_bits(block, 0)) * 0.125;
        let all = u64::from_le_bytes(block[74..].as_chunks().0[0]);
        for s in 0..16 {
            let stored = (all >> (4 * s)) as u32 & 15;
            scales[s] = d * (2 * stored + 1) as f32;
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; IQ2_S::BYTES], unit: usize) -> S::Bytes {
        let high = usize::from(block[66 + unit]);
        let mut words = [0; 4];
        for l in 0..4 {
            let index = usize::from(block[2 + 4 * unit + l]) | (high >> (2 * l) & 3) << 8;
            words[l] = word(&VECTORS[index]);
        }
        let minus = u32::from_le_bytes(block[34..].as_chunks().0[unit]);
        signed_codes(simd, words, minus, Self::LEAST)
    }
}

#[inline(always)]
fn decode(block: &[u8; IQ2_S::BYTES], weights: &mut [f32; IQ2_S::WEIGHTS]) {
    let d = f16_at(block, 0);
    let (indices, signs, high, scales) = (&block[2..34], &block[34..66], &block[66..74], &block[74..]);
    for (v, weights) in weights.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let index = usize::from(indices[v]) | usize::from(high[v / 4] >> (v % 4 * 2) & 3) << 8;
        let scale = d * (0.5 + f32::from(scales[v / 4] >> (v / 2 % 2 * 4) & 15)) * 0.25;
        put_signed(weights, scale, &VECTORS[index], signs[v]);
    }
}
