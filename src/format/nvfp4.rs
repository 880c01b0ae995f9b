//! NVFP4: 64 weights of four-bit floats, each 16 under an eight-bit float scale; 4.5 bits per weight.
//!
//! ```text
//! byte  0          4        12       20       28       36
//!       | 4 scales | 16 nib. | 16 nib. | 16 nib. | 16 nib. |
//! ```
//!
//! The scales are ue4m3 (four exponent bits, three of mantissa, no sign). Sub-block s has bytes 4 + 8s + j
//! with weight 16s + j low and weight 16s + j + 8 high. There is no scale for the whole tensor.
//!
//! w = ue4m3 · the e2m1 number. ggml's `quantize_row_nvfp4_ref`.

use super::codebook::{E2M1_DOUBLED, nearest_e2m1};
use super::extremes::largest_magnitude;
use super::{Codec, Codes, Encode, Unpack, to_decode, to_encode};

pub(super) struct NVFP4;

impl Codec for NVFP4 {
    const WEIGHTS: usize = 64;
    const BYTES: usize = 36;
    const FIELDS: &'static [usize] = &[4, 32];
    const PAIRS: bool = true;
    const SHADER: &'static str = include_str!("../../shaders/format/nvfp4.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode(blocks, weights) {
            decode(block, weights);
        }
    }

    #[inline(always)]
    fn is_valid(_: &[u8]) -> bool {
        true
    }
}

impl Codes<{ NVFP4::BYTES }> for NVFP4 {
    const LEAST: i8 = -12;
    const GREATEST: i8 = 12;
    const HALVES: bool = true;
    const LEVELS: Option<[i8; 16]> = Some(E2M1_DOUBLED);

    #[inline(always)]
    fn scales(block: &[u8; NVFP4::BYTES], _: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        for s in 0..4 {
            scales[s] = half_scale(block[s]);
        }
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; NVFP4::BYTES], unit: usize) -> S::Bytes {
        let mut words = [0; 4];
        for s in 0..2 {
            let stored = u64::from_le_bytes(block[4..].as_chunks().0[2 * unit + s]);
            words[2 * s] = stored & 0x0f0f_0f0f_0f0f_0f0f;
            words[2 * s + 1] = stored >> 4 & 0x0f0f_0f0f_0f0f_0f0f;
        }
        simd.load_words(words)
    }
}

impl Encode for NVFP4 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (weights, block) in to_encode(weights, blocks) {
            encode(weights, block);
        }
    }
}

#[inline(always)]
fn decode(block: &[u8; NVFP4::BYTES], weights: &mut [f32; NVFP4::WEIGHTS]) {
    let (scales, nibbles) = block.split_at(4);
    let sub_blocks = nibbles.as_chunks::<8>().0.iter().zip(weights.as_chunks_mut::<16>().0);
    for (&scale, (nibbles, weights)) in scales.iter().zip(sub_blocks) {
        let d = half_scale(scale);
        let (low, high) = weights.split_at_mut(8);
        for (w, byte) in low.iter_mut().zip(nibbles) {
            *w = f32::from(E2M1_DOUBLED[usize::from(byte & 15)]) * d;
        }
        for (w, byte) in high.iter_mut().zip(nibbles) {
            *w = f32::from(E2M1_DOUBLED[usize::from(byte >> 4)]) * d;
        }
    }
}

#[inline(always)]
fn encode(weights: &[f32; NVFP4::WEIGHTS], block: &mut [u8; NVFP4::BYTES]) {
    let (scales, nibbles) = block.split_at_mut(4);
    let sub_blocks = weights.as_chunks::<16>().0.iter().zip(nibbles.as_chunks_mut::<8>().0);
    for (scale, (weights, nibbles)) in scales.iter_mut().zip(sub_blocks) {
        // 6 is the greatest e2m1 number.
        *scale = to_ue4m3(largest_magnitude(weights) / 6.0);
        let d = half_scale(*scale);
        let mut codes = [0; 16];
        for (code, &w) in codes.iter_mut().zip(weights) {
            *code = nearest_e2m1(w, d);
        }
        for (j, byte) in nibbles.iter_mut().enumerate() {
            *byte = codes[j] | codes[j + 8] << 4;
        }
    }
}

/// Half of a ue4m3 number, because the levels are doubled. The top code, a NaN elsewhere, is 0 here.
#[inline(always)]
fn half_scale(scale: u8) -> f32 {
    let (exponent, mantissa) = (u32::from(scale >> 3 & 15), u32::from(scale & 7));
    let normal = f32::from_bits((exponent + 127 - 7 - 1) << 23 | mantissa << 20);
    let subnormal = mantissa as f32 * (1.0 / 1024.0);
    match scale {
        0x7f => 0.0,
        _ if exponent == 0 => subnormal,
        _ => normal,
    }
}

/// The nearest ue4m3 number to x >= 0, half up. ggml does not use the top binade: from 248 on, all become
/// 448.
#[inline(always)]
fn to_ue4m3(x: f32) -> u8 {
    // Adding half a unit of the last kept place to the bits rounds, with a carry to the exponent where
    // needed.
    let rounded = (x.to_bits() + (1 << 19)) >> 20;
    let normal = rounded.saturating_sub((127 - 7) << 3);
    let subnormal = ((x * 512.0 + 0.5) as u32).min(7);
    (match normal {
        _ if x < 1.0 / 64.0 => subnormal,
        0x78.. => 0x7e,
        _ => normal,
    }) as u8
}
