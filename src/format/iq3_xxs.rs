//! `IQ3_XXS`: 256 weights, each four a vector of a codebook of 256, each 32 under a scale; 3.0625 bits per
//! weight.
//!
//! ```text
//! byte  0   2            66              98
//!       | d | 64 indices  | 8 signs, u32   |   d f16
//! ```
//!
//! Vector v has weights 4v and up, index byte 2 + v. The u32 of weights 32b and up has the signs of eight
//! weights in each seven bits (the eighth makes the minus signs even) and the scale sc in its top four.
//!
//! w = ± d·(sc + 1/2)/2 · vector[index]. ggml's `dequantize_row_iq3_xxs`.

use super::bits::{f16_at, f16_is_finite_at};
use super::codebook::{
    IQ3_XXS as VECTORS, even_signs, four_even_signs, put_signed, signed_codes, word_of_two, words,
};
use super::{Codec, Codes, Unpack, half_bits, to_decode};

pub(super) struct IQ3_XXS;

impl Codec for IQ3_XXS {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 98;
    const FIELDS: &'static [usize] = &[2, 64, 32];
    const SHADER: &'static str = include_str!("../../shaders/format/iq3_xxs.wgsl");
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

impl Codes<{ IQ3_XXS::BYTES }> for IQ3_XXS {
    const LEAST: i8 = -62;
    const GREATEST: i8 = 62;

    #[inline(always)]
    fn scales(block: &[u8; IQ3_XXS::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        let d = simd.half_to_float(half_bits(block, 0));
        for s in 0..8 {
            scales[s] = d * (0.5 + f32::from(block[66 + 4 * s + 3] >> 4)) * 0.5;
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; IQ3_XXS::BYTES], unit: usize) -> S::Bytes {
        let mut words = [0; 4];
        for l in 0..4 {
            let [low, high] = [block[2 + 8 * unit + 2 * l], block[3 + 8 * unit + 2 * l]];
            words[l] = word_of_two(&VECTORS[usize::from(low)], &VECTORS[usize::from(high)]);
        }
        let minus = four_even_signs(u32::from_le_bytes(block[66..].as_chunks().0[unit]));
        signed_codes(simd, words, minus, Self::LEAST)
    }
}

#[inline(always)]
fn decode(block: &[u8; IQ3_XXS::BYTES], weights: &mut [f32; IQ3_XXS::WEIGHTS]) {
    let d = f16_at(block, 0);
    let (indices, signs) = block[2..].split_at(64);
    for (v, weights) in weights.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let signs = u32::from_le_bytes(signs.as_chunks().0[v / 8]);
        let scale = d * (0.5 + (signs >> 28) as f32) * 0.5;
        let signs = even_signs(signs >> (v / 2 % 4 * 7)) >> (v % 2 * 4);
        put_signed(weights, scale, &VECTORS[usize::from(indices[v])], signs);
    }
}
