//! `TQ1_0`: 256 weights of three levels, five in a byte, under one scale; 1.6875 bits per weight.
//!
//! ```text
//! byte  0           32          48   52  54
//!       | 160 trits  | 80 trits  | 16 | d |   d f16
//! ```
//!
//! Bytes m = 0..32 hold weights 32n + m for n = 0..5; bytes 32 + m, m = 0..16, hold weights 160 + 16n + m;
//! bytes 48 + m, m = 0..4, hold weights 240 + 4n + m for n = 0..4 and a fifth trit 0. The trits of a byte, n
//! = 0 first, are the digits of a fraction in base 3, rounded up to 1/256: multiplying the byte by 3 carries
//! its first digit out at the top and leaves the rest.
//!
//! w = d·(q-1). ggml's `quantize_row_tq1_0_ref`.

use super::bits::{f16_at, f16_is_finite_at, put_f16};
use super::tq2_0::ternary;
use super::{Codec, Codes, Encode, Unpack, half_bits, to_decode, to_encode};

pub(super) struct TQ1_0;

impl Codec for TQ1_0 {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 54;
    const FIELDS: &'static [usize] = &[48, 4, 2];
    const SHADER: &'static str = include_str!("../../shaders/format/tq1_0.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (block, weights) in to_decode(blocks, weights) {
            decode(block, weights);
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, 52)
    }
}

impl Codes<{ TQ1_0::BYTES }> for TQ1_0 {
    const LEAST: i8 = -1;
    const GREATEST: i8 = 1;
    const UNIT: usize = 4;

    #[inline(always)]
    fn scales(block: &[u8; TQ1_0::BYTES], simd: impl Unpack, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        scales[..8].fill(simd.half_to_float(half_bits(block, 52)));
    }

    #[inline(always)]
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; TQ1_0::BYTES], unit: usize) -> S::Bytes {
        let codes = if unit == 0 || PART == 0 {
            digits::<32>(&block[..32], POWERS[4 * unit + PART])
        } else if PART < 3 {
            let (low, high) = (POWERS[2 * PART - 2], POWERS[2 * PART - 1]);
            join(digits::<16>(&block[32..48], low), digits::<16>(&block[32..48], high))
        } else {
            let mut last = [0; 16];
            for m in 0..16 {
                last[m] = digit(block[48 + m % 4], POWERS[m / 4]);
            }
            join(digits::<16>(&block[32..48], POWERS[4]), last)
        };
        simd.load_bytes(&codes)
    }
}

/// By which a byte is multiplied so that a digit is its highest.
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

/// The digit that `power` makes the highest.
#[inline(always)]
fn digit(byte: u8, power: u8) -> u8 {
    ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as u8
}

#[inline(always)]
fn digits<const N: usize>(bytes: &[u8], power: u8) -> [u8; N] {
    let mut digits = [0; N];
    for i in 0..N {
        digits[i] = digit(bytes[i], power);
    }
    digits
}

#[inline(always)]
fn join(low: [u8; 16], high: [u8; 16]) -> [u8; 32] {
    let mut both = [0; 32];
    both[..16].copy_from_slice(&low);
    both[16..].copy_from_slice(&high);
    both
}

impl Encode for TQ1_0 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (weights, block) in to_encode(weights, blocks) {
            encode(weights, block);
        }
    }
}

#[inline(always)]
fn decode(block: &[u8; TQ1_0::BYTES], weights: &mut [f32; TQ1_0::WEIGHTS]) {
    let d = f16_at(block, 52);
    decode_digits::<32>(&block[..32], d, &mut weights[..160]);
    decode_digits::<16>(&block[32..48], d, &mut weights[160..240]);
    decode_digits::<4>(&block[48..52], d, &mut weights[240..]);
}

#[inline(always)]
fn encode(weights: &[f32; TQ1_0::WEIGHTS], block: &mut [u8; TQ1_0::BYTES]) {
    let (d, codes) = ternary(weights);
    encode_digits::<32>(&codes[..160], &mut block[..32]);
    encode_digits::<16>(&codes[160..240], &mut block[32..48]);
    encode_digits::<4>(&codes[240..], &mut block[48..52]);
    put_f16(block, 52, d);
}

/// Takes the first digit of all `N` bytes, then the next.
#[inline(always)]
fn decode_digits<const N: usize>(bytes: &[u8], d: f32, weights: &mut [f32]) {
    let mut rest = [0; N];
    rest.copy_from_slice(bytes);
    for weights in weights.as_chunks_mut::<N>().0 {
        for (rest, w) in rest.iter_mut().zip(weights) {
            let tripled = u16::from(*rest) * 3;
            *w = (i32::from(tripled >> 8) - 1) as f32 * d;
            *rest = tripled as u8;
        }
    }
}

/// Puts one code of each run of `N` into each of `N` bytes, up to five runs.
#[inline(always)]
fn encode_digits<const N: usize>(codes: &[u8], bytes: &mut [u8]) {
    let (runs, _) = codes.as_chunks::<N>();
    for (m, byte) in bytes.iter_mut().enumerate() {
        let digits = (0..5).fold(0, |digits, n| 3 * digits + runs.get(n).map_or(0, |run| u16::from(run[m])));
        *byte = (digits * 256).div_ceil(243) as u8;
    }
}
