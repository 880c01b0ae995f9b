//! `IQ1_M`: 256 weights, each eight a vector of a codebook of 2048, each 16 under a scale; 1.75 bits per
//! weight.
//!
//! ```text
//! byte  0            32        48            56
//!       | 32 indices  | 16 high | 4 scales, u16 |
//! ```
//!
//! Vector v has weights 8v and up. A nibble of `high`, low in byte 32 + v/2 for even v, high for odd, has the
//! three upper bits of its index and the sign of its shift. The scale sc of weights 16s and up is bits 3(s %
//! 4) and up of u16 s/4. The four top bits of the four u16, the first the lowest, are d as f16.
//!
//! w = d·(2sc + 1) · (vector[index] ± 1/8). ggml's `dequantize_row_iq1_m`.

use super::bits::{f16_at, f16_is_finite_at};
use super::codebook::{IQ1 as VECTORS, put_shifted, shifted_codes, word, words};
use super::{Codec, Codes, Unpack, half_bits, to_decode};

pub(super) struct IQ1_M;

impl Codec for IQ1_M {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 56;
    const FIELDS: &'static [usize] = &[32, 16, 8];
    const SHADER: &'static str = include_str!("../../shaders/format/iq1_m.wgsl");
    const GRID: Option<fn() -> Vec<u32>> = Some(|| words(&VECTORS));

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode(blocks, weights) {
            decode(block, weights);
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(&scale_of_block(block), 0)
    }
}

impl Codes<{ IQ1_M::BYTES }> for IQ1_M {
    const LEAST: i8 = -9;
    const GREATEST: i8 = 9;
    const HALVES: bool = true;

    #[inline(always)]
    fn scales(block: &[u8; IQ1_M::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        let d = simd.half_to_float(u16::from_le_bytes(scale_of_block(block))) * 0.125;
        let all = u64::from_le_bytes(block[48..].as_chunks().0[0]);
        for s in 0..16 {
            let stored = (all >> (s / 4 * 16 + s % 4 * 3)) as u32 & 7;
            scales[s] = d * (2 * stored + 1) as f32;
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; IQ1_M::BYTES], unit: usize) -> S::Bytes {
        let high = half_bits(block, 32 + 2 * unit);
        let (mut words, mut down) = ([0; 4], [0; 4]);
        for l in 0..4 {
            let high = high >> (4 * l);
            words[l] = word(&VECTORS[usize::from(u16::from(block[4 * unit + l]) | (high & 7) << 8)]);
            down[l] = high >> 3 & 1;
        }
        shifted_codes(simd, words, down)
    }
}

#[inline(always)]
fn decode(block: &[u8; IQ1_M::BYTES], weights: &mut [f32; IQ1_M::WEIGHTS]) {
    let d = f16_at(&scale_of_block(block), 0);
    let (indices, high, scales) = (&block[..32], &block[32..48], &block[48..]);
    for (v, weights) in weights.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let high = high[v / 2] >> (v % 2 * 4);
        let index = usize::from(indices[v]) | usize::from(high & 7) << 8;
        let scales = u16::from_le_bytes(scales.as_chunks().0[v / 8]);
        let scale = d * f32::from(2 * (scales >> (v / 2 % 4 * 3) & 7) + 1);
        put_shifted(weights, scale, &VECTORS[index], high >> 3 & 1 == 1);
    }
}

/// The bytes of d, gathered from the four scale words.
#[inline(always)]
fn scale_of_block(block: &[u8]) -> [u8; 2] {
    [block[49] >> 4 | block[51] & 0xf0, block[53] >> 4 | block[55] & 0xf0]
}
