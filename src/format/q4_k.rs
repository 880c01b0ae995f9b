//! `Q4_K`: 256 weights in 144 bytes, 4.5 bits each; `w = d·sc·q - dmin·m`, q in 0..16.
//!
//! ```text
//! byte  0    2     4             16
//!      | d  | dmin | sc, m × 8   | qs[128]: byte 32c+l = weight 64c+l (low nibble), 64c+32+l (high)
//!       f16   f16    6 bits each
//! ```
//!
//! Sub-blocks of 32 weights. Equals `quantize_row_q4_K_ref` and `dequantize_row_q4_K`.

use super::bits::f16_is_finite_at;
use super::search::AffineSearch;
use super::six_bit::{self, HEAD_BYTES, TOGETHER, WEIGHTS};
use super::{Codec, Codes, Encode, Passes, Unpack, half_bits, to_decode};

const BYTES: usize = HEAD_BYTES + WEIGHTS / 2;

const SEARCH: AffineSearch =
    AffineSearch { max_code: 15, first: -1.0, step: 0.1, steps: 20, absolute_error: false };

pub(super) struct Q4_K;

impl Codec for Q4_K {
    const WEIGHTS: usize = WEIGHTS;
    const BYTES: usize = BYTES;
    const FIELDS: &'static [usize] = &[16, 128];
    const SHADER: &'static str = include_str!("../../shaders/format/q4_k.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode::<BYTES, WEIGHTS>(blocks, weights) {
            let (head, qs) = block.split_at(HEAD_BYTES);
            let scales = six_bit::scales_and_mins(head);
            for (c, qs) in qs.as_chunks::<32>().0.iter().enumerate() {
                let (low, high) = (scales[2 * c], scales[2 * c + 1]);
                for l in 0..32 {
                    weights[64 * c + l] = low.0 * f32::from(qs[l] & 15) - low.1;
                    weights[64 * c + 32 + l] = high.0 * f32::from(qs[l] >> 4) - high.1;
                }
            }
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, 0) && f16_is_finite_at(block, 2)
    }
}

impl Codes<BYTES> for Q4_K {
    const LEAST: i8 = 0;
    const GREATEST: i8 = 15;
    const UNIT: usize = 2;
    const MINS: bool = true;

    #[inline(always)]
    fn scales(block: &[u8; BYTES], simd: impl Unpack, scales: &mut [f32; 16], mins: &mut [f32; 16]) {
        let (d, dmin) = (simd.half_to_float(half_bits(block, 0)), simd.half_to_float(half_bits(block, 2)));
        let (stored_scales, stored_mins) = six_bit::unpack(&block[4..HEAD_BYTES]);
        for s in 0..8 {
            scales[s] = d * f32::from(stored_scales[s]);
            mins[s] = dmin * f32::from(stored_mins[s]);
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; BYTES], unit: usize) -> S::Bytes {
        let mut codes = [0; 32];
        for l in 0..32 {
            codes[l] = block[HEAD_BYTES + 32 * unit + l] >> (4 * PART) & 15;
        }
        simd.load_bytes(&codes)
    }
}

impl Encode for Q4_K {
    const PASSES: Passes = Passes::SearchAndPack { sub_blocks: 8, parts: 4 };

    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        let blocks = blocks.as_chunks_mut::<BYTES>().0;
        for (weights, blocks) in weights.chunks(TOGETHER * WEIGHTS).zip(blocks.chunks_mut(TOGETHER)) {
            let codes = six_bit::quantize(weights, &SEARCH, blocks);
            for (block, codes) in blocks.iter_mut().zip(codes.as_chunks::<8>().0) {
                for (c, qs) in block[HEAD_BYTES..].as_chunks_mut::<32>().0.iter_mut().enumerate() {
                    for l in 0..32 {
                        qs[l] = codes[2 * c][l] | codes[2 * c + 1][l] << 4;
                    }
                }
            }
        }
    }
}
