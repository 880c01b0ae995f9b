//! `IQ2_XXS`: 256 weights, each eight a vector of a codebook of 256, each 32 under a scale; 2.0625 bits per
//! weight.
//!
//! ```text
//! byte  0   2                                66
//!       | d | 8 x (4 indices, u32)             |   d f16
//! ```
//!
//! Weights 32b and up are bytes 2 + 8b: four indices of eight bits, then a u32 whose bits 7l..7l+7 are the
//! signs of vector l (the eighth makes the minus signs even) and whose top four bits are the scale sc.
//!
//! w = ± d·(sc + 1/2)/4 · vector[index]. ggml's `dequantize_row_iq2_xxs`.

use super::bits::{f16_at, f16_is_finite_at};
use super::codebook::{
    IQ2_XXS as VECTORS, even_signs, four_even_signs, put_signed, signed_codes, word, words,
};
use super::{Codec, Codes, Unpack, half_bits, to_decode};

pub(super) struct IQ2_XXS;

impl Codec for IQ2_XXS {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 66;
    const FIELDS: &'static [usize] = &[2, 64];
    const SHADER: &'static str = include_str!("../../shaders/format/iq2_xxs.wgsl");
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

impl Codes<{ IQ2_XXS::BYTES }> for IQ2_XXS {
    const LEAST: i8 = -43;
    const GREATEST: i8 = 43;

    #[inline(always)]
    fn scales(block: &[u8; IQ2_XXS::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        let d = simd.half_to_float(half_bits(block, 0));
        for s in 0..8 {
            scales[s] = d * (0.5 + f32::from(block[9 + 8 * s] >> 4)) * 0.25;
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; IQ2_XXS::BYTES], unit: usize) -> S::Bytes {
        let [indices @ .., s0, s1, s2, s3] = block[2..].as_chunks::<8>().0[unit];
        let mut words = [0; 4];
        for l in 0..4 {
            words[l] = word(&VECTORS[usize::from(indices[l])]);
        }
        let minus = four_even_signs(u32::from_le_bytes([s0, s1, s2, s3]));
        signed_codes(simd, words, minus, Self::LEAST)
    }
}

#[inline(always)]
fn decode(block: &[u8; IQ2_XXS::BYTES], weights: &mut [f32; IQ2_XXS::WEIGHTS]) {
    let d = f16_at(block, 0);
    for (codes, weights) in block[2..].as_chunks::<8>().0.iter().zip(weights.as_chunks_mut::<32>().0) {
        let [indices @ .., s0, s1, s2, s3] = codes;
        let signs = u32::from_le_bytes([*s0, *s1, *s2, *s3]);
        let scale = d * (0.5 + (signs >> 28) as f32) * 0.25;
        for (l, weights) in weights.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            put_signed(weights, scale, &VECTORS[usize::from(indices[l])], even_signs(signs >> (7 * l)));
        }
    }
}
