//! Eight lanes as arrays: the simple form, for every processor.

use super::lanes::Simd;
use crate::format::{Unpack, bf16_to_f32, f16_to_f32};
use std::array::from_fn;

#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl Unpack for Plain {
    type Bytes = [u8; 32];

    #[inline(always)]
    fn half_to_float(self, bits: u16) -> f32 {
        f16_to_f32(bits)
    }

    #[inline(always)]
    fn load_bytes(self, bytes: &[u8; 32]) -> [u8; 32] {
        *bytes
    }

    #[inline(always)]
    fn load_words(self, words: [u64; 4]) -> [u8; 32] {
        from_fn(|i| (words[i / 8] >> (i % 8 * 8)) as u8)
    }

    #[inline(always)]
    fn splat_byte(self, byte: u8) -> [u8; 32] {
        [byte; 32]
    }

    #[inline(always)]
    fn mask_of_bits(self, bits: u32) -> [u8; 32] {
        from_fn(|i| if bits >> i & 1 == 1 { 255 } else { 0 })
    }

    #[inline(always)]
    fn spread_pairs(self, bytes: [u8; 8]) -> [u8; 32] {
        from_fn(|i| bytes[i / 4] >> (i % 4 * 2) & 3)
    }

    #[inline(always)]
    fn and(self, a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
        from_fn(|i| a[i] & b[i])
    }

    #[inline(always)]
    fn or(self, a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
        from_fn(|i| a[i] | b[i])
    }

    #[inline(always)]
    fn xor(self, a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
        from_fn(|i| a[i] ^ b[i])
    }

    #[inline(always)]
    fn add_bytes(self, a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
        from_fn(|i| a[i].wrapping_add(b[i]))
    }

    #[inline(always)]
    fn sub_bytes(self, a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
        from_fn(|i| a[i].wrapping_sub(b[i]))
    }
}

impl Simd for Plain {
    type F32 = [f32; 8];
    type I32 = [i32; 8];
    type Codes = [[i16; 32]; 8];

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 8] {
        [x; 8]
    }

    #[inline(always)]
    fn load(self, x: &[f32; 8]) -> [f32; 8] {
        *x
    }

    #[inline(always)]
    fn store(self, x: [f32; 8], to: &mut [f32; 8]) {
        *to = x;
    }

    #[inline(always)]
    fn add(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn mul(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn neg_mul_add(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        from_fn(|i| c[i] - a[i] * b[i])
    }

    #[inline(always)]
    fn splat_halves(self, low: f32, high: f32) -> [f32; 8] {
        [low, low, low, low, high, high, high, high]
    }

    #[inline(always)]
    fn sum(self, x: [f32; 8]) -> f32 {
        ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))
    }

    #[inline(always)]
    fn column(self, rows: &[[f32; 16]; 8], i: usize) -> [f32; 8] {
        from_fn(|row| rows[row][i])
    }

    #[inline(always)]
    fn load_f32(self, bytes: &[[u8; 4]; 8]) -> [f32; 8] {
        from_fn(|i| f32::from_le_bytes(bytes[i]))
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[[u8; 2]; 8]) -> [f32; 8] {
        from_fn(|i| f16_to_f32(u16::from_le_bytes(bytes[i])))
    }

    #[inline(always)]
    fn load_bf16(self, bytes: &[[u8; 2]; 8]) -> [f32; 8] {
        from_fn(|i| bf16_to_f32(u16::from_le_bytes(bytes[i])))
    }

    #[inline(always)]
    fn transpose(self, rows: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
        from_fn(|i| from_fn(|j| rows[j][i]))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> [i32; 8] {
        [x; 8]
    }

    #[inline(always)]
    fn add_i32(self, a: [i32; 8], b: [i32; 8]) -> [i32; 8] {
        from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub_i32(self, a: [i32; 8], b: [i32; 8]) -> [i32; 8] {
        from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn to_f32(self, x: [i32; 8]) -> [f32; 8] {
        from_fn(|i| x[i] as f32)
    }

    #[inline(always)]
    fn arrange<const SIGNED: bool>(self, rows: [[u8; 32]; 8], levels: Option<[u8; 16]>) -> [[i16; 32]; 8] {
        let mut arranged = [[0; 32]; 8];
        for (arranged, row) in arranged.iter_mut().zip(&rows) {
            for (wide, &code) in arranged.iter_mut().zip(row) {
                let code = if let Some(levels) = levels { levels[usize::from(code & 15)] } else { code };
                *wide = if SIGNED { i16::from(code as i8) } else { i16::from(code) };
            }
        }
        arranged
    }

    #[inline(always)]
    fn dot<const SIGNED: bool, const GROUP: usize, const FROM: usize, const TO: usize>(
        self,
        codes: &[[i16; 32]; 8],
        x: &[i8; 32],
    ) -> [i32; 8] {
        let mut sums = [0; 8];
        for (sum, codes) in sums.iter_mut().zip(codes) {
            for (code, x) in codes[4 * FROM..4 * TO].iter().zip(&x[4 * FROM..4 * TO]) {
                *sum += i32::from(*code) * i32::from(*x);
            }
        }
        sums
    }

    #[inline(always)]
    fn dot_row<const SIGNED: bool>(
        self,
        codes: [u8; 32],
        levels: Option<[u8; 16]>,
        x: &[i8; 32],
    ) -> [i32; 8] {
        let mut sums = [0; 8];
        for i in 0..32 {
            let code = if let Some(levels) = levels { levels[usize::from(codes[i] & 15)] } else { codes[i] };
            let code = if SIGNED { i32::from(code as i8) } else { i32::from(code) };
            sums[i / 4] += code * i32::from(x[i]);
        }
        sums
    }

    #[inline(always)]
    fn prefetch(self, _: &[u8], _: usize, _: usize) {}
}
