//! `Q3_K`: 256 weights in 110 bytes, 3.4375 bits each; `w = d·(sc-32)·q`, q in -4..4.
//!
//! ```text
//! byte  0          32       96           108
//!      | hmask[32] | qs[64] | scales[12] | d  |
//!                             6 bits × 16  f16
//! ```
//!
//! Sub-blocks of 16 weights. The low two bits of q+4 lie as in `Q2_K`; its high bit, for weight e, is bit
//! e/32 of `hmask[e % 32]`. Equals `quantize_row_q3_K_ref` and `dequantize_row_q3_K`.

use super::bits::{f16_at, f16_is_finite_at, put_f16, round_half_even};
use super::lanes::{self, LANES};
use super::search::{descended_scale, signed_largest, stored_codes};
use super::{Codec, Codes, Encode, Passes, Unpack, half_bits, to_decode};
use std::array::from_fn;

const WEIGHTS: usize = 256;
const BYTES: usize = 110;
const CODES_AT: usize = 32;
const SCALES_AT: usize = 96;
const D_AT: usize = 108;
/// Super-blocks that are searched together.
const TOGETHER: usize = LANES / 16;

pub(super) struct Q3_K;

impl Codec for Q3_K {
    const WEIGHTS: usize = WEIGHTS;
    const BYTES: usize = BYTES;
    const FIELDS: &'static [usize] = &[32, 64, 12, 2];
    const SHADER: &'static str = include_str!("../../shaders/format/q3_k.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode::<BYTES, WEIGHTS>(blocks, weights) {
            let d = f16_at(block, D_AT);
            let scales = unpack(&block[SCALES_AT..D_AT]);
            for (s, weights) in weights.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                let scale = d * (i32::from(scales[s]) - 32) as f32;
                let (half, shift, first) = (s / 8, s % 8 / 2 * 2, s % 2 * 16);
                for (l, weight) in weights.iter_mut().enumerate() {
                    let low = block[CODES_AT + 32 * half + first + l] >> shift & 3;
                    let high = block[first + l] >> (s / 2) & 1;
                    *weight = scale * (i32::from(low | high << 2) - 4) as f32;
                }
            }
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, D_AT)
    }
}

impl Codes<BYTES> for Q3_K {
    const LEAST: i8 = -4;
    const GREATEST: i8 = 3;
    const UNIT: usize = 4;
    const HALVES: bool = true;

    #[inline(always)]
    fn scales(block: &[u8; BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        let d = simd.half_to_float(half_bits(block, D_AT));
        let stored = unpack(&block[SCALES_AT..D_AT]);
        for s in 0..16 {
            scales[s] = d * (i32::from(stored[s]) - 32) as f32;
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; BYTES], unit: usize) -> S::Bytes {
        let mut codes = [0; 32];
        for l in 0..32 {
            let low = block[CODES_AT + 32 * unit + l] >> (2 * PART) & 3;
            let high = block[l] >> (4 * unit) >> PART & 1;
            codes[l] = low | high << 2;
        }
        simd.load_bytes(&codes)
    }
}

impl Encode for Q3_K {
    const PASSES: Passes = Passes::SearchAndPack { sub_blocks: 16, parts: 2 };

    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        let blocks = blocks.as_chunks_mut::<BYTES>().0;
        for (weights, blocks) in weights.chunks(TOGETHER * WEIGHTS).zip(blocks.chunks_mut(TOGETHER)) {
            let x = lanes::transpose::<16>(weights);
            let fit = descended_scale(&x, 4);

            // The scales as stored; the one of largest magnitude, with its sign, becomes -32.
            let mut scale = [0.0; LANES];
            for (b, block) in blocks.iter_mut().enumerate() {
                let fitted = &fit.scale[16 * b..16 * b + 16];
                let max = signed_largest(fitted);
                block[SCALES_AT..].fill(0);
                if max != 0.0 {
                    let inverse = -32.0 / max;
                    let scales: [i32; 16] = from_fn(|s| round_half_even(inverse * fitted[s]).clamp(-32, 31));
                    block[SCALES_AT..D_AT].copy_from_slice(&pack(&scales.map(|scale| (scale + 32) as u8)));
                    let d = put_f16(block, D_AT, 1.0 / inverse);
                    for s in 0..16 {
                        scale[16 * b + s] = d * scales[s] as f32;
                    }
                }
            }
            let codes = stored_codes(&x, (&scale, &[0.0; LANES]), (-4, 3, 4.0), &fit.codes);
            for (block, codes) in blocks.iter_mut().zip(codes.as_chunks::<16>().0) {
                for (byte, mask) in block[..CODES_AT].iter_mut().enumerate() {
                    let (first, l) = (byte / 16, byte % 16);
                    *mask = (0..8).fold(0, |bits, j| bits | codes[first + 2 * j][l] >> 2 << j);
                }
                for (byte, packed) in block[CODES_AT..SCALES_AT].iter_mut().enumerate() {
                    let (first, l) = (byte / 32 * 8 + byte % 32 / 16, byte % 16);
                    *packed = (0..4).fold(0, |bits, j| bits | (codes[first + 2 * j][l] & 3) << (2 * j));
                }
            }
        }
    }
}

/// Bytes 0-7 hold the low nibbles of scales 0-7 and, above them, 8-15; bits 2k.. of byte 8+j the top two bits
/// of scale 4k+j.
#[inline(always)]
fn pack(scales: &[u8; 16]) -> [u8; 12] {
    from_fn(|byte| {
        if byte < 8 {
            scales[byte] & 15 | scales[byte + 8] << 4
        } else {
            (0..4).fold(0, |bits, k| bits | scales[4 * k + byte - 8] >> 4 << (2 * k))
        }
    })
}

#[inline(always)]
fn unpack(packed: &[u8]) -> [u8; 16] {
    from_fn(|j| packed[j % 8] >> (j / 8 * 4) & 15 | (packed[8 + j % 4] >> (j / 4 * 2) & 3) << 4)
}

#[cfg(test)]
mod tests {
    #[test]
    fn scales_survive_packing() {
        let scales = std::array::from_fn(|j| (j * 37 % 64) as u8);
        assert_eq!(super::unpack(&super::pack(&scales)), scales);
    }
}
