//! `Q5_1`: 32 weights of five bits with a scale and an offset; 6 bits per weight.
//!
//! ```text
//! byte  0   2   4        8                 24
//!       | d | m | fifths | 32 nibbles       |   d, m f16; bit j of the u32 `fifths` is weight j's fifth bit;
//!                                               byte 8 + j has the low bits of weight j low, of j + 16 high
//! ```
//!
//! w = d·q + m, from the least weight (q = 0) to the greatest (q = 31). ggml's `quantize_row_q5_1_ref`.

use super::bits::{code_line, f16_at, f16_is_finite_at, put_f16, truncate};
use super::extremes::least_and_greatest;
use super::pack::{pack_fifth_bits, pack_nibbles, unpack_five_bits};
use super::{Codec, Codes, Encode, Unpack, half_bits, to_decode, to_encode};

pub(super) struct Q5_1;

impl Codec for Q5_1 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 24;
    const FIELDS: &'static [usize] = &[8, 16];
    const SHADER: &'static str = include_str!("../../shaders/format/q5_1.wgsl");

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

impl Codes<{ Q5_1::BYTES }> for Q5_1 {
    const LEAST: i8 = 0;
    const GREATEST: i8 = 31;
    const MINS: bool = true;

    #[inline(always)]
    fn scales(block: &[u8; Q5_1::BYTES], simd: impl Unpack, scales: &mut [f32; 16], mins: &mut [f32; 16]) {
        scales[0] = simd.half_to_float(half_bits(block, 0));
        mins[0] = -simd.half_to_float(half_bits(block, 2));
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; Q5_1::BYTES], _: usize) -> S::Bytes {
        let mut low = [0; 32];
        for j in 0..16 {
            low[j] = block[8 + j] & 15;
            low[j + 16] = block[8 + j] >> 4;
        }
        let fifths = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
        simd.or(simd.load_bytes(&low), simd.and(simd.mask_of_bits(fifths), simd.splat_byte(16)))
    }
}

impl Encode for Q5_1 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (weights, block) in to_encode(weights, blocks) {
            encode(weights, block);
        }
    }
}

#[inline(always)]
fn decode(block: &[u8; Q5_1::BYTES], weights: &mut [f32; Q5_1::WEIGHTS]) {
    let &[_, _, _, _, f0, f1, f2, f3, ref nibbles @ ..] = block;
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    let codes = unpack_five_bits(nibbles, u32::from_le_bytes([f0, f1, f2, f3]));
    for (w, q) in weights.iter_mut().zip(codes) {
        *w = f32::from(q) * d + m;
    }
}

#[inline(always)]
fn encode(weights: &[f32; Q5_1::WEIGHTS], block: &mut [u8; Q5_1::BYTES]) {
    let (least, greatest) = least_and_greatest(weights);
    let d = (greatest - least) / 31.0;
    let (multiplier, half) = code_line(d, 0.5);
    let mut codes = [0; 32];
    for (code, w) in codes.iter_mut().zip(weights) {
        *code = truncate((w - least) * multiplier + half) as u8;
    }
    put_f16(block, 0, d);
    put_f16(block, 2, least);
    block[4..8].copy_from_slice(&pack_fifth_bits(&codes).to_le_bytes());
    block[8..].copy_from_slice(&pack_nibbles(&codes));
}
