//! Shared by `Q4_K` and `Q5_K`: super-blocks of 8 sub-blocks of 32 weights, each with a six-bit scale and
//! min.
//!
//! `w = d·sc·q - dmin·m`. The formats differ in the number of bits of a code and in their positions.

use super::bits::{f16_at, put_f16, round_half_even};
use super::lanes::{self, LANES};
use super::search::{AffineSearch, scale_and_min, stored_codes};
use std::array::from_fn;

/// Weights in a super-block.
pub(super) const WEIGHTS: usize = 256;
/// Bytes of `d`, `dmin` and the scales, at the start of the block.
pub(super) const HEAD_BYTES: usize = 16;

/// Super-blocks that are searched together.
pub(super) const TOGETHER: usize = LANES / 8;

/// Writes `d` (f16 at 0), `dmin` (f16 at 2) and 12 bytes of scales (at 4) of up to [`TOGETHER`] super-blocks,
/// and returns the codes of each sub-block.
#[inline(always)]
pub(super) fn quantize<const BYTES: usize>(
    weights: &[f32],
    search: &AffineSearch,
    blocks: &mut [[u8; BYTES]],
) -> [[u8; 32]; LANES] {
    let x = lanes::transpose::<32>(weights);
    let mut rms = [0.0; LANES];
    for x in &x {
        for lane in 0..LANES {
            rms[lane] += x[lane] * x[lane];
        }
    }
    for sum in &mut rms {
        *sum = (*sum / 32.0).sqrt();
    }
    let mut w = [[0.0; LANES]; 32];
    for i in 0..32 {
        for lane in 0..LANES {
            w[i][lane] = rms[lane] + x[i][lane].abs();
        }
    }
    let fit = scale_and_min(&x, &w, search);

    // The scales as stored.
    let (mut scale, mut min) = ([0.0; LANES], [0.0; LANES]);
    for (b, block) in blocks.iter_mut().enumerate() {
        let lanes = 8 * b..8 * b + 8;
        let (d, scales) = six_bits(&fit.scale[lanes.clone()], block, 0);
        let (dmin, mins) = six_bits(&fit.min[lanes], block, 2);
        block[4..HEAD_BYTES].copy_from_slice(&pack(&scales, &mins));
        for j in 0..8 {
            scale[8 * b + j] = d * f32::from(scales[j]);
            min[8 * b + j] = dmin * f32::from(mins[j]);
        }
    }
    stored_codes(&x, (&scale, &min), (0, search.max_code, 0.0), &fit.codes)
}

/// Rounds the scales of a super-block to six bits with a common f16 scale, stores that at `offset` and
/// returns both.
#[inline(always)]
fn six_bits(scales: &[f32], block: &mut [u8], offset: usize) -> (f32, [u8; 8]) {
    let max = scales.iter().fold(0.0, |max, &x| if x > max { x } else { max });
    let inverse = if max > 0.0 { 63.0 / max } else { 0.0 };
    // A negative scale wraps around, as in ggml, and so becomes 63.
    let rounded = from_fn(|j| (round_half_even(inverse * scales[j]) as u8).min(63));
    (put_f16(block, offset, max / 63.0), rounded)
}

/// `d·sc` and `dmin·m` of each sub-block.
#[inline(always)]
pub(super) fn scales_and_mins(head: &[u8]) -> [(f32, f32); 8] {
    let (d, dmin) = (f16_at(head, 0), f16_at(head, 2));
    let (scales, mins) = unpack(&head[4..16]);
    from_fn(|j| (d * f32::from(scales[j]), dmin * f32::from(mins[j])))
}

/// Sub-blocks 0-3 use the low six bits of bytes 0-3 (scales) and 4-7 (mins). Sub-blocks 4-7 use the nibbles
/// of bytes 8-11 and the top two bits of the bytes of sub-blocks 0-3.
#[inline(always)]
fn pack(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    from_fn(|byte| {
        let j = byte % 4;
        match byte / 4 {
            0 => scales[j] | (scales[j + 4] >> 4) << 6,
            1 => mins[j] | (mins[j + 4] >> 4) << 6,
            _ => scales[j + 4] & 15 | (mins[j + 4] & 15) << 4,
        }
    })
}

/// The inverse of [`pack`], four sub-blocks at a time.
#[inline(always)]
pub(super) fn unpack(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
    let word = |i: usize| u32::from_le_bytes([packed[i], packed[i + 1], packed[i + 2], packed[i + 3]]);
    let (scales, mins, nibbles) = (word(0), word(4), word(8));
    let high = |word: u32| (word >> 6 & 0x0303_0303) << 4;
    let joined = |low: u32, high: u32| (u64::from(low) | u64::from(high) << 32).to_le_bytes();
    (
        joined(scales & 0x3f3f_3f3f, nibbles & 0x0f0f_0f0f | high(scales)),
        joined(mins & 0x3f3f_3f3f, nibbles >> 4 & 0x0f0f_0f0f | high(mins)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_survive_packing() {
        let scales = [0, 63, 1, 62, 33, 15, 16, 48];
        let mins = [63, 0, 47, 5, 17, 31, 32, 63];
        assert_eq!(unpack(&pack(&scales, &mins)), (scales, mins));
    }
}
