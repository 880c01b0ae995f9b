//! `IQ4_NL`: 32 weights in 18 bytes, 4.5 bits each; `w = d·level[q]`, 16 unevenly spaced levels.
//!
//! ```text
//! byte  0    2
//!      | d  | qs[16]: byte j = weight j (low nibble), j+16 (high)
//!       f16
//! ```
//!
//! Equals `quantize_iq4_nl` (which searches 16 multipliers; `quantize_row_iq4_nl_ref` does not, and is not
//! what files hold) and `dequantize_row_iq4_nl`.

use super::bits::{f16_at, f16_is_finite_at, inverse_or_zero, put_f16};
use super::codebook::IQ4_LEVELS;
use super::lanes::{self, LANES};
use super::search::{level_codes, level_scale};
use super::{Codec, Codes, Encode, Unpack, half_bits, to_decode};

const WEIGHTS: usize = 32;
const BYTES: usize = 18;

pub(super) struct IQ4_NL;

impl Codec for IQ4_NL {
    const WEIGHTS: usize = WEIGHTS;
    const BYTES: usize = BYTES;
    const FIELDS: &'static [usize] = &[2, 16];
    const PAIRS: bool = true;
    const SHADER: &'static str = include_str!("../../shaders/format/iq4_nl.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode::<BYTES, WEIGHTS>(blocks, weights) {
            let d = f16_at(block, 0);
            for (l, &byte) in block[2..].iter().enumerate() {
                weights[l] = d * f32::from(IQ4_LEVELS[usize::from(byte & 15)]);
                weights[l + 16] = d * f32::from(IQ4_LEVELS[usize::from(byte >> 4)]);
            }
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, 0)
    }
}

impl Codes<BYTES> for IQ4_NL {
    const LEAST: i8 = -127;
    const GREATEST: i8 = 113;
    const LEVELS: Option<[i8; 16]> = Some(IQ4_LEVELS);

    #[inline(always)]
    fn scales(block: &[u8; BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        scales[0] = simd.half_to_float(half_bits(block, 0));
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; BYTES], _: usize) -> S::Bytes {
        let mut codes = [0; 32];
        for j in 0..16 {
            codes[j] = block[2 + j] & 15;
            codes[j + 16] = block[2 + j] >> 4;
        }
        simd.load_bytes(&codes)
    }
}

impl Encode for IQ4_NL {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        let blocks = blocks.as_chunks_mut::<BYTES>().0;
        for (weights, blocks) in weights.chunks(LANES * WEIGHTS).zip(blocks.chunks_mut(LANES)) {
            let x = lanes::transpose::<WEIGHTS>(weights);
            let scale = level_scale(&x);
            let codes = lanes::codes(&level_codes(&x, &scale.map(inverse_or_zero)));
            for (lane, block) in blocks.iter_mut().enumerate() {
                put_f16(block, 0, scale[lane]);
                for (l, byte) in block[2..].iter_mut().enumerate() {
                    *byte = codes[lane][l] | codes[lane][l + 16] << 4;
                }
            }
        }
    }
}
