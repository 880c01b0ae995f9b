//! MXFP4: 32 weights of four-bit floats under a shared power of two (OCP Microscaling); 4.25 bits per weight.
//!
//! ```text
//! byte  0   1                 17
//!       | e | 32 nibbles       |   e8m0 scale; byte 1 + j has weight j low, weight j + 16 high
//! ```
//!
//! w = 2^(e-128) · twice the e2m1 number. ggml's `quantize_row_mxfp4_ref`.

use super::codebook::{E2M1_DOUBLED, nearest_e2m1};
use super::extremes::largest_magnitude;
use super::pack::{pack_nibbles, unpack_nibbles};
use super::{Codec, Codes, Encode, Unpack, to_decode, to_encode};

pub(super) struct MXFP4;

impl Codec for MXFP4 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 17;
    const FIELDS: &'static [usize] = &[1, 16];
    const PAIRS: bool = true;
    const SHADER: &'static str = include_str!("../../shaders/format/mxfp4.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode(blocks, weights) {
            decode(block, weights);
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        block[0] != 0xff
    }
}

impl Codes<{ MXFP4::BYTES }> for MXFP4 {
    const LEAST: i8 = -12;
    const GREATEST: i8 = 12;
    const LEVELS: Option<[i8; 16]> = Some(E2M1_DOUBLED);

    #[inline(always)]
    fn scales(block: &[u8; MXFP4::BYTES], _: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        scales[0] = half_scale(block[0]);
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; MXFP4::BYTES], _: usize) -> S::Bytes {
        let mut codes = [0; 32];
        for j in 0..16 {
            codes[j] = block[1 + j] & 15;
            codes[j + 16] = block[1 + j] >> 4;
        }
        simd.load_bytes(&codes)
    }
}

impl Encode for MXFP4 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (weights, block) in to_encode(weights, blocks) {
            encode(weights, block);
        }
    }
}

#[inline(always)]
fn decode(block: &[u8; MXFP4::BYTES], weights: &mut [f32; MXFP4::WEIGHTS]) {
    let [e, nibbles @ ..] = block;
    let d = half_scale(*e);
    for (w, q) in weights.iter_mut().zip(unpack_nibbles(nibbles)) {
        *w = f32::from(E2M1_DOUBLED[usize::from(q)]) * d;
    }
}

#[inline(always)]
fn encode(weights: &[f32; MXFP4::WEIGHTS], block: &mut [u8; MXFP4::BYTES]) {
    let largest = largest_magnitude(weights);
    // The greatest e2m1 number is 6, whose exponent is 2. Below 2^-125 this runs below 0 and, as in ggml, its
    // low byte is taken: a scale so large that every code is 0.
    let e = if largest > 0.0 { (floor_log2(largest) - 2 + 127) as u8 } else { 0 };
    let d = half_scale(e);
    let mut codes = [0; 32];
    for (code, &w) in codes.iter_mut().zip(weights) {
        *code = nearest_e2m1(w, d);
    }
    block[0] = e;
    block[1..].copy_from_slice(&pack_nibbles(&codes));
}

/// Half of the scale 2^(e-127), because the levels are doubled.
#[inline(always)]
fn half_scale(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { (u32::from(e) - 1) << 23 })
}

/// C's `floorf(log2f(x))` for x > 0, where `log2f` rounds to nearest.
///
/// That is not always x's exponent: just below 2^k the logarithm rounds to k.
#[inline(always)]
fn floor_log2(x: f32) -> i32 {
    // x = mantissa · 2^(exponent - 23), 2^23 <= mantissa < 2^24.
    let bits = x.to_bits();
    let shift = bits.leading_zeros().saturating_sub(8);
    let mantissa = if shift == 0 { bits & 0x007f_ffff | 0x0080_0000 } else { bits << shift };
    let exponent = if shift == 0 { (bits >> 23) as i32 - 127 } else { -126 - shift as i32 };
    // With x = (1 - missing/2^24) · 2^k, the logarithm is k - missing/(2^24 ln 2), to far better than needed.
    // It rounds to k when that is at most half the spacing of f32 there, which is 2^j/2^24 in the binade of
    // 2^j. The numbers next to k on its lower side lie in the binade of |exponent|, or of |k| if k is
    // negative.
    let missing = (1 << 24) - mantissa;
    let below_k = exponent ^ (exponent >> 31);
    let binade = f32::from_bits((below_k as f32).to_bits() & 0x7f80_0000);
    exponent + i32::from(missing as f32 <= binade * std::f32::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_rounds_up_just_below_a_power_of_two() {
        for k in -148..=128 {
            let power = if k < -126 { 1 << (k + 149) } else { (k + 127) << 23 } as u32;
            for bits in power.saturating_sub(200).max(1)..(power + 200).min(f32::INFINITY.to_bits()) {
                let x = f32::from_bits(bits);
                let rounded = f64::from(x).log2() as f32;
                assert_eq!(floor_log2(x), rounded.floor() as i32, "{x:e}");
            }
        }
        // 2^-64, where the spacing is widest within the normal numbers: 64 ln 2 = 44.4.
        assert_eq!(floor_log2(f32::from_bits(0x1f80_0000 - 44)), -64);
        assert_eq!(floor_log2(f32::from_bits(0x1f80_0000 - 45)), -65);
    }
}
