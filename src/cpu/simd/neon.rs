//! Eight lanes of NEON, which every 64-bit ARM processor has; and the same with a dot product of bytes in one
//! instruction (`sdot`, of ARMv8.2), for which Rust has no stable intrinsic.

#![expect(unsafe_code, reason = "instructions that the compiler does not find by itself")]

use super::lanes::{Simd, Work};
use crate::format::Unpack;
use std::arch::aarch64::{
    float32x4_t, int8x16_t, int32x4_t, uint8x16_t, vaddq_f32, vaddq_s32, vaddq_u8, vaddvq_f32, vandq_u8,
    vcombine_u64, vcreate_u64, vcvtq_f32_s32, vdupq_n_f32, vdupq_n_s32, vdupq_n_u8, vdupq_n_u32, vdupq_n_u64,
    veorq_u8, vfmaq_f32, vfmsq_f32, vget_low_s8, vld1_u16, vld1q_f32, vld1q_s8, vld1q_u8, vmull_high_s8,
    vmull_s8, vmulq_f32, vorrq_u8, vpaddlq_s16, vpaddq_s32, vqtbl1q_u8, vreinterpretq_f32_u32,
    vreinterpretq_f32_u64, vreinterpretq_s8_s32, vreinterpretq_s8_u8, vreinterpretq_s8_u64,
    vreinterpretq_u8_u32, vreinterpretq_u8_u64, vreinterpretq_u32_u8, vreinterpretq_u64_f32,
    vreinterpretq_u64_u32, vshll_n_u16, vshlq_u8, vst1q_f32, vsubq_s32, vsubq_u8, vtrn1q_f32, vtrn1q_u32,
    vtrn1q_u64, vtrn2q_f32, vtrn2q_u32, vtrn2q_u64, vtstq_u8,
};
use std::arch::{asm, is_aarch64_feature_detected};

/// Exists only where the processor has NEON, and `sdot` if `DOT`: what makes every `unsafe` block of this
/// file sound. Pointers come from references to as many bytes as are read or written.
#[derive(Clone, Copy)]
pub(super) struct Arm<const DOT: bool>(());

pub(super) type Neon = Arm<false>;
pub(super) type NeonDot = Arm<true>;

impl<const DOT: bool> Arm<DOT> {
    /// `None` where the processor lacks an instruction.
    pub(super) fn new() -> Option<Self> {
        let has = is_aarch64_feature_detected!("neon") && (!DOT || is_aarch64_feature_detected!("dotprod"));
        has.then_some(Self(()))
    }
}

impl Neon {
    /// Runs `work`, compiled for these instructions.
    pub(super) fn run(self, work: impl Work) {
        #[target_feature(enable = "neon")]
        fn compiled(simd: Neon, work: impl Work) {
            work.run(simd);
        }
        // SAFETY: `self` exists.
        unsafe { compiled(self, work) }
    }
}

impl NeonDot {
    /// Runs `work`, compiled for these instructions.
    pub(super) fn run(self, work: impl Work) {
        #[target_feature(enable = "neon,dotprod")]
        fn compiled(simd: NeonDot, work: impl Work) {
            work.run(simd);
        }
        // SAFETY: `self` exists.
        unsafe { compiled(self, work) }
    }
}

/// Does `$operation` to both halves.
macro_rules! halves {
    ($operation:ident, $($x:expr),+) => {
        unsafe { [$operation($($x[0]),+), $operation($($x[1]),+)] }
    };
}

impl<const DOT: bool> Unpack for Arm<DOT> {
    type Bytes = [uint8x16_t; 2];

    #[inline(always)]
    fn half_to_float(self, bits: u16) -> f32 {
        let x: f32;
        // SAFETY: NEON has these.
        unsafe {
            asm!(
                "fmov {x:s}, {bits:w}",
                "fcvt {x:s}, {x:h}",
                x = out(vreg) x,
                bits = in(reg) u32::from(bits),
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        x
    }

    #[inline(always)]
    fn load_bytes(self, bytes: &[u8; 32]) -> [uint8x16_t; 2] {
        unsafe { [vld1q_u8(bytes.as_ptr()), vld1q_u8(bytes.as_ptr().add(16))] }
    }

    #[inline(always)]
    fn load_words(self, [a, b, c, d]: [u64; 4]) -> [uint8x16_t; 2] {
        unsafe {
            [(a, b), (c, d)].map(|(a, b)| vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(a), vcreate_u64(b))))
        }
    }

    #[inline(always)]
    fn splat_byte(self, byte: u8) -> [uint8x16_t; 2] {
        unsafe { [vdupq_n_u8(byte); 2] }
    }

    #[inline(always)]
    fn mask_of_bits(self, bits: u32) -> [uint8x16_t; 2] {
        unsafe {
            // Byte i of the bits to bytes 8·i to 8·i + 7; of these, bit j.
            let bits = vreinterpretq_u8_u32(vdupq_n_u32(bits));
            let bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
            let [low, high] =
                self.load_words([0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303]);
            [vtstq_u8(vqtbl1q_u8(bits, low), bit), vtstq_u8(vqtbl1q_u8(bits, high), bit)]
        }
    }

    #[inline(always)]
    fn spread_pairs(self, bytes: [u8; 8]) -> [uint8x16_t; 2] {
        unsafe {
            let [bytes, _] = self.load_words([u64::from_le_bytes(bytes), 0, 0, 0]);
            let places = self.load_words([
                0x0101_0101_0000_0000,
                0x0303_0303_0202_0202,
                0x0505_0505_0404_0404,
                0x0707_0707_0606_0606,
            ]);
            // To the right by 0, 2, 4 and 6.
            let shifts = vreinterpretq_s8_u64(vdupq_n_u64(0xfafc_fe00_fafc_fe00));
            let three = vdupq_n_u8(3);
            [
                vandq_u8(vshlq_u8(vqtbl1q_u8(bytes, places[0]), shifts), three),
                vandq_u8(vshlq_u8(vqtbl1q_u8(bytes, places[1]), shifts), three),
            ]
        }
    }

    #[inline(always)]
    fn and(self, a: [uint8x16_t; 2], b: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
        halves!(vandq_u8, a, b)
    }

    #[inline(always)]
    fn or(self, a: [uint8x16_t; 2], b: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
        halves!(vorrq_u8, a, b)
    }

    #[inline(always)]
    fn xor(self, a: [uint8x16_t; 2], b: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
        halves!(veorq_u8, a, b)
    }

    #[inline(always)]
    fn add_bytes(self, a: [uint8x16_t; 2], b: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
        halves!(vaddq_u8, a, b)
    }

    #[inline(always)]
    fn sub_bytes(self, a: [uint8x16_t; 2], b: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
        halves!(vsubq_u8, a, b)
    }
}

impl<const DOT: bool> Simd for Arm<DOT> {
    type F32 = [float32x4_t; 2];
    type I32 = [int32x4_t; 2];
    /// Four codes of a row in each lane.
    type Codes = [[int8x16_t; 2]; 8];

    #[inline(always)]
    fn splat(self, x: f32) -> [float32x4_t; 2] {
        unsafe { [vdupq_n_f32(x); 2] }
    }

    #[inline(always)]
    fn load(self, x: &[f32; 8]) -> [float32x4_t; 2] {
        unsafe { [vld1q_f32(x.as_ptr()), vld1q_f32(x.as_ptr().add(4))] }
    }

    #[inline(always)]
    fn store(self, x: [float32x4_t; 2], to: &mut [f32; 8]) {
        unsafe {
            vst1q_f32(to.as_mut_ptr(), x[0]);
            vst1q_f32(to.as_mut_ptr().add(4), x[1]);
        }
    }

    #[inline(always)]
    fn add(self, a: [float32x4_t; 2], b: [float32x4_t; 2]) -> [float32x4_t; 2] {
        halves!(vaddq_f32, a, b)
    }

    #[inline(always)]
    fn mul(self, a: [float32x4_t; 2], b: [float32x4_t; 2]) -> [float32x4_t; 2] {
        halves!(vmulq_f32, a, b)
    }

    #[inline(always)]
    fn mul_add(self, a: [float32x4_t; 2], b: [float32x4_t; 2], c: [float32x4_t; 2]) -> [float32x4_t; 2] {
        halves!(vfmaq_f32, c, a, b)
    }

    #[inline(always)]
    fn neg_mul_add(self, a: [float32x4_t; 2], b: [float32x4_t; 2], c: [float32x4_t; 2]) -> [float32x4_t; 2] {
        halves!(vfmsq_f32, c, a, b)
    }

    #[inline(always)]
    fn splat_halves(self, low: f32, high: f32) -> [float32x4_t; 2] {
        unsafe { [vdupq_n_f32(low), vdupq_n_f32(high)] }
    }

    #[inline(always)]
    fn sum(self, x: [float32x4_t; 2]) -> f32 {
        unsafe { vaddvq_f32(vaddq_f32(x[0], x[1])) }
    }

    #[inline(always)]
    fn column(self, rows: &[[f32; 16]; 8], i: usize) -> [float32x4_t; 2] {
        let [a, b, c, d, e, f, g, h] = rows;
        self.load(&[a[i], b[i], c[i], d[i], e[i], f[i], g[i], h[i]])
    }

    #[inline(always)]
    fn load_f32(self, bytes: &[[u8; 4]; 8]) -> [float32x4_t; 2] {
        unsafe { [vld1q_f32(bytes.as_ptr().cast()), vld1q_f32(bytes.as_ptr().add(4).cast())] }
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[[u8; 2]; 8]) -> [float32x4_t; 2] {
        let (low, high): (float32x4_t, float32x4_t);
        unsafe {
            asm!(
                "fcvtl {low:v}.4s, {all:v}.4h",
                "fcvtl2 {high:v}.4s, {all:v}.8h",
                low = out(vreg) low,
                high = lateout(vreg) high,
                all = in(vreg) vld1q_u8(bytes.as_ptr().cast()),
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        [low, high]
    }

    #[inline(always)]
    fn load_bf16(self, bytes: &[[u8; 2]; 8]) -> [float32x4_t; 2] {
        unsafe {
            let wide =
                |at: usize| vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(bytes.as_ptr().add(at).cast())));
            [wide(0), wide(4)]
        }
    }

    #[inline(always)]
    fn transpose(self, r: [[float32x4_t; 2]; 8]) -> [[float32x4_t; 2]; 8] {
        let mut columns = [[self.splat(0.0)[0]; 2]; 8];
        for half in 0..2 {
            for other in 0..2 {
                let four = [0, 1, 2, 3].map(|i| r[4 * other + i][half]);
                let transposed = unsafe { transpose_four(four) };
                for i in 0..4 {
                    columns[4 * half + i][other] = transposed[i];
                }
            }
        }
        columns
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> [int32x4_t; 2] {
        unsafe { [vdupq_n_s32(x); 2] }
    }

    #[inline(always)]
    fn add_i32(self, a: [int32x4_t; 2], b: [int32x4_t; 2]) -> [int32x4_t; 2] {
        halves!(vaddq_s32, a, b)
    }

    #[inline(always)]
    fn sub_i32(self, a: [int32x4_t; 2], b: [int32x4_t; 2]) -> [int32x4_t; 2] {
        halves!(vsubq_s32, a, b)
    }

    #[inline(always)]
    fn to_f32(self, x: [int32x4_t; 2]) -> [float32x4_t; 2] {
        halves!(vcvtq_f32_s32, x)
    }

    #[inline(always)]
    fn arrange<const SIGNED: bool>(
        self,
        rows: [[uint8x16_t; 2]; 8],
        levels: Option<[u8; 16]>,
    ) -> [[int8x16_t; 2]; 8] {
        let mut codes = [self.splat_byte(0).map(|zero| unsafe { vreinterpretq_s8_u8(zero) }); 8];
        for half in 0..2 {
            for other in 0..2 {
                let mut four = [0, 1, 2, 3].map(|i| rows[4 * other + i][half]);
                if let Some(levels) = levels {
                    for row in &mut four {
                        *row = unsafe { vqtbl1q_u8(vld1q_u8(levels.as_ptr()), *row) };
                    }
                }
                let transposed = unsafe { transpose_words(four) };
                for i in 0..4 {
                    codes[4 * half + i][other] = unsafe { vreinterpretq_s8_u8(transposed[i]) };
                }
            }
        }
        codes
    }

    #[inline(always)]
    fn dot<const SIGNED: bool, const GROUP: usize, const FROM: usize, const TO: usize>(
        self,
        codes: &[[int8x16_t; 2]; 8],
        x: &[i8; 32],
    ) -> [int32x4_t; 2] {
        // Unsigned codes are at most 127, and so are signed bytes too. Two sums, so that not every product
        // waits for the one before.
        let mut sums = [self.splat_i32(0); 2];
        for j in FROM..TO {
            unsafe {
                let four = x.as_ptr().add(4 * j).cast::<i32>().read_unaligned();
                let x = vreinterpretq_s8_s32(vdupq_n_s32(four));
                for half in 0..2 {
                    let sum = &mut sums[j % 2][half];
                    *sum = dot_bytes::<DOT>(*sum, codes[j][half], x);
                }
            }
        }
        self.add_i32(sums[0], sums[1])
    }

    #[inline(always)]
    fn dot_row<const SIGNED: bool>(
        self,
        mut codes: [uint8x16_t; 2],
        levels: Option<[u8; 16]>,
        x: &[i8; 32],
    ) -> [int32x4_t; 2] {
        unsafe {
            if let Some(levels) = levels {
                let table = vld1q_u8(levels.as_ptr());
                codes = [vqtbl1q_u8(table, codes[0]), vqtbl1q_u8(table, codes[1])];
            }
            let zero = vdupq_n_s32(0);
            [
                dot_bytes::<DOT>(zero, vreinterpretq_s8_u8(codes[0]), vld1q_s8(x.as_ptr())),
                dot_bytes::<DOT>(zero, vreinterpretq_s8_u8(codes[1]), vld1q_s8(x.as_ptr().add(16))),
            ]
        }
    }

    #[inline(always)]
    fn prefetch(self, slice: &[u8], offset: usize, bytes: usize) {
        // A prefetch of any address is allowed.
        let start = slice.as_ptr().wrapping_add(offset);
        let mut at = 0;
        while at < bytes {
            unsafe {
                asm!(
                    "prfm pldl1keep, [{at}]",
                    at = in(reg) start.wrapping_add(at),
                    options(readonly, nostack, preserves_flags),
                );
            }
            at += 64;
        }
    }
}

/// `sums` plus Σ code·x of four bytes, in each lane.
///
/// # Safety
///
/// The processor has `sdot` if `DOT`.
#[inline(always)]
unsafe fn dot_bytes<const DOT: bool>(sums: int32x4_t, codes: int8x16_t, x: int8x16_t) -> int32x4_t {
    unsafe {
        if DOT {
            return sdot(sums, codes, x);
        }
        // A product fits into 16 bits: 128·127 at most.
        let low = vpaddlq_s16(vmull_s8(vget_low_s8(codes), vget_low_s8(x)));
        let high = vpaddlq_s16(vmull_high_s8(codes, x));
        vaddq_s32(sums, vpaddq_s32(low, high))
    }
}

/// `sums` plus Σ code·x of four bytes, in each lane.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn sdot(mut sums: int32x4_t, codes: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: the function needs the instruction.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {codes:v}.16b, {x:v}.16b",
            sums = inout(vreg) sums,
            codes = in(vreg) codes,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Word i of vector j becomes word j of vector i.
///
/// # Safety
///
/// The processor has NEON.
#[inline(always)]
unsafe fn transpose_words(r: [uint8x16_t; 4]) -> [uint8x16_t; 4] {
    unsafe {
        let r = r.map(|row| vreinterpretq_u32_u8(row));
        let a = [vtrn1q_u32(r[0], r[1]), vtrn2q_u32(r[0], r[1])].map(|x| vreinterpretq_u64_u32(x));
        let b = [vtrn1q_u32(r[2], r[3]), vtrn2q_u32(r[2], r[3])].map(|x| vreinterpretq_u64_u32(x));
        let columns =
            [vtrn1q_u64(a[0], b[0]), vtrn1q_u64(a[1], b[1]), vtrn2q_u64(a[0], b[0]), vtrn2q_u64(a[1], b[1])];
        columns.map(|x| vreinterpretq_u8_u64(x))
    }
}

/// Lane i of vector j becomes lane j of vector i.
///
/// # Safety
///
/// The processor has NEON.
#[inline(always)]
unsafe fn transpose_four(r: [float32x4_t; 4]) -> [float32x4_t; 4] {
    unsafe {
        let a = [vtrn1q_f32(r[0], r[1]), vtrn2q_f32(r[0], r[1])].map(|x| vreinterpretq_u64_f32(x));
        let b = [vtrn1q_f32(r[2], r[3]), vtrn2q_f32(r[2], r[3])].map(|x| vreinterpretq_u64_f32(x));
        let columns =
            [vtrn1q_u64(a[0], b[0]), vtrn1q_u64(a[1], b[1]), vtrn2q_u64(a[0], b[0]), vtrn2q_u64(a[1], b[1])];
        columns.map(|x| vreinterpretq_f32_u64(x))
    }
}
