//! `IQ2_XS`: 256 weights, each eight a vector of a codebook of 512, each 16 under a scale; 2.3125 bits per
//! weight.
//!
//! ```text
//! byte  0   2                      66        74
//!       | d | 32 codes, u16          | 16 scales |   d f16
//! ```
//!
//! Code v, of weights 8v and up: nine bits of index, seven of signs (the eighth makes the minus signs even).
//! Scale sc of weights 16s and up: low nibble of byte 66 + s/2 for even s, high for odd.
//!
//! w = ± d·(sc + 1/2)/4 · vector[index]. ggml's `dequantize_row_iq2_xs`.

use super::bits::{f16_at, f16_is_finite_at};
use super::codebook::{
    IQ2_XS as VECTORS, even_signs, even_signs_of_bytes, put_signed, signed_codes, word, words,
};
use super::{Codec, Codes, Unpack, half_bits, to_decode};

pub(super) struct IQ2_XS;

impl Codec for IQ2_XS {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 74;
    const FIELDS: &'static [usize] = &[2, 64, 8];
    const SHADER: &'static str = include_str!("../../shaders/format/iq2_xs.wgsl");
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

impl Codes<{ IQ2_XS::BYTES }> for IQ2_XS {
    const LEAST: i8 = -43;
    const GREATEST: i8 = 43;
    const HALVES: bool = true;

    #[inline(always)]
    fn scales(block: &[u8; IQ2_XS::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        let d = simd.half_to_float(half_bits(block, 0)) * 0.125;
        let all = u64::from_le_bytes(block[66..].as_chunks().0[0]);
        for s in 0..16 {
            let stored = (all >> (4 * s)) as u32 & 15;
            scales[s] = d * (2 * stored + 1) as f32;
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; IQ2_XS::BYTES], unit: usize) -> S::Bytes {
        let codes = u64::from_le_bytes(block[2..].as_chunks().0[unit]);
        let mut words = [0; 4];
        for l in 0..4 {
            words[l] = word(&VECTORS[(codes >> (16 * l)) as usize & 511]);
        }
        // The seven signs of each code, moved together.
        let signs = codes >> 9 & 0x007f_007f_007f_007f;
        let signs = (signs | signs >> 8) & 0x0000_ffff_0000_ffff;
        signed_codes(simd, words, even_signs_of_bytes((signs | signs >> 16) as u32), Self::LEAST)
    }
}

#[inline(always)]
fn decode(block: &[u8; IQ2_XS::BYTES], weights: &mut [f32; IQ2_XS::WEIGHTS]) {
    let d = f16_at(block, 0);
    let (codes, scales) = block[2..].split_at(64);
    let codes = codes.as_chunks::<2>().0;
    for (v, (&code, weights)) in codes.iter().zip(weights.as_chunks_mut::<8>().0).enumerate() {
        let code = u32::from(u16::from_le_bytes(code));
        let scale = d * (0.5 + f32::from(scales[v / 4] >> (v / 2 % 2 * 4) & 15)) * 0.25;
        put_signed(weights, scale, &VECTORS[code as usize & 511], even_signs(code >> 9));
    }
}
