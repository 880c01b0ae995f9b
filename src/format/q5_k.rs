//! `Q5_K`: 256 weights in 176 bytes, 5.5 bits each; `w = d·sc·q - dmin·m`, q in 0..32.
//!
//! ```text
//! byte  0    2      4             16       48
//!      | d  | dmin | sc, m × 8   | qh[32] | qs[128]: low nibbles as in Q4_K
//!       f16   f16    6 bits each    bit s of byte l = fifth bit of weight l of sub-block s
//! ```
//!
//! Sub-blocks of 32 weights. Equals `quantize_row_q5_K_ref` and `dequantize_row_q5_K`.

use super::bits::f16_is_finite_at;
use super::search::AffineSearch;
use super::six_bit::{self, HEAD_BYTES, TOGETHER, WEIGHTS};
use super::{Codec, Codes, Encode, Passes, Unpack, half_bits, to_decode};

const HIGH_BYTES: usize = WEIGHTS / 8;
const BYTES: usize = HEAD_BYTES + HIGH_BYTES + WEIGHTS / 2;

const SEARCH: AffineSearch =
    AffineSearch { max_code: 31, first: -0.5, step: 0.1, steps: 15, absolute_error: false };

pub(super) struct Q5_K;

impl Codec for Q5_K {
    const WEIGHTS: usize = WEIGHTS;
    const BYTES: usize = BYTES;
    const FIELDS: &'static [usize] = &[16, 32, 128];
    const SHADER: &'static str = include_str!("../../shaders/format/q5_k.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode::<BYTES, WEIGHTS>(blocks, weights) {
            let (head, codes) = block.split_at(HEAD_BYTES);
            let (qh, qs) = codes.split_at(HIGH_BYTES);
            let scales = six_bit::scales_and_mins(head);
            for (c, qs) in qs.as_chunks::<32>().0.iter().enumerate() {
                let (low, high) = (scales[2 * c], scales[2 * c + 1]);
                for l in 0..32 {
                    let fifth = |s: usize| (qh[l] >> s & 1) << 4;
                    weights[64 * c + l] = low.0 * f32::from(qs[l] & 15 | fifth(2 * c)) - low.1;
                    weights[64 * c + 32 + l] = high.0 * f32::from(qs[l] >> 4 | fifth(2 * c + 1)) - high.1;
                }
            }
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, 0) && f16_is_finite_at(block, 2)
    }
}

impl Codes<BYTES> for Q5_K {
    const LEAST: i8 = 0;
    const GREATEST: i8 = 31;
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
            let low = block[HEAD_BYTES + HIGH_BYTES + 32 * unit + l] >> (4 * PART) & 15;
            let fifth = block[HEAD_BYTES + l] >> (2 * unit) >> PART & 1;
            codes[l] = low | fifth << 4;
        }
        simd.load_bytes(&codes)
    }
}

impl Encode for Q5_K {
    const PASSES: Passes = Passes::SearchAndPack { sub_blocks: 8, parts: 4 };

    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        let blocks = blocks.as_chunks_mut::<BYTES>().0;
        for (weights, blocks) in weights.chunks(TOGETHER * WEIGHTS).zip(blocks.chunks_mut(TOGETHER)) {
            let codes = six_bit::quantize(weights, &SEARCH, blocks);
            for (block, codes) in blocks.iter_mut().zip(codes.as_chunks::<8>().0) {
                let (qh, qs) = block[HEAD_BYTES..].split_at_mut(HIGH_BYTES);
                for (l, high) in qh.iter_mut().enumerate() {
                    *high = (0..8).fold(0, |byte, s| byte | codes[s][l] >> 4 << s);
                }
                for (c, qs) in qs.as_chunks_mut::<32>().0.iter_mut().enumerate() {
                    for l in 0..32 {
                        qs[l] = codes[2 * c][l] & 15 | codes[2 * c + 1][l] << 4;
                    }
                }
            }
        }
    }
}
