//! Eight lanes of AVX2, with FMA and F16C, which every processor with AVX2 has; and the same with a dot
//! product of bytes in one instruction (VNNI), from AVX-512 or by itself.

#![expect(unsafe_code, reason = "instructions that the compiler does not find by itself")]

use super::lanes::{Simd, Work};
use crate::format::Unpack;
use std::arch::asm;
use std::arch::x86_64::{
    __m128, __m256, __m256i, _MM_HINT_T0, _mm_add_ps, _mm_add_ss, _mm_cvtsi64_si128, _mm_cvtss_f32,
    _mm_loadu_si128, _mm_movehl_ps, _mm_prefetch, _mm_set1_ps, _mm_shuffle_ps, _mm256_abs_epi8,
    _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cmpeq_epi8,
    _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_cvtepu16_epi32, _mm256_cvtph_ps,
    _mm256_dpbusd_avx_epi32, _mm256_dpbusd_epi32, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps,
    _mm256_or_si256, _mm256_permute2f128_ps, _mm256_permute2x128_si256, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setr_epi64x, _mm256_setr_m128,
    _mm256_setr_ps, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_shuffle_ps, _mm256_sign_epi8,
    _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_epi8, _mm256_sub_epi32, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpackhi_ps, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
    _mm256_unpacklo_ps, _mm256_xor_si256,
};

/// What multiplies bytes.
const MADDUBS: u8 = 0;
const AVX_VNNI: u8 = 1;
const AVX512_VNNI: u8 = 2;

/// Exists only where the processor has AVX2, FMA and F16C, and the instruction for `DOT`: what makes every
/// `unsafe` block of this file sound. Pointers come from references to as many bytes as are read or written.
#[derive(Clone, Copy)]
pub(super) struct X86<const DOT: u8>(());

pub(super) type Avx2 = X86<MADDUBS>;
pub(super) type AvxVnni = X86<AVX_VNNI>;
pub(super) type Avx512Vnni = X86<AVX512_VNNI>;

impl<const DOT: u8> X86<DOT> {
    /// `None` where the processor lacks an instruction.
    pub(super) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && match DOT {
                MADDUBS => true,
                AVX_VNNI => is_x86_feature_detected!("avxvnni"),
                _ => is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl"),
            };
        has.then_some(Self(()))
    }
}

impl Avx2 {
    /// Runs `work`, compiled for these instructions.
    pub(super) fn run(self, work: impl Work) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled(simd: Avx2, work: impl Work) {
            work.run(simd);
        }
        // SAFETY: `self` exists.
        unsafe { compiled(self, work) }
    }
}

impl AvxVnni {
    /// Runs `work`, compiled for these instructions.
    pub(super) fn run(self, work: impl Work) {
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn compiled(simd: AvxVnni, work: impl Work) {
            work.run(simd);
        }
        // SAFETY: `self` exists.
        unsafe { compiled(self, work) }
    }
}

impl Avx512Vnni {
    /// Runs `work`, compiled for these instructions.
    pub(super) fn run(self, work: impl Work) {
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512vl,avx512vnni")]
        fn compiled(simd: Avx512Vnni, work: impl Work) {
            work.run(simd);
        }
        // SAFETY: `self` exists.
        unsafe { compiled(self, work) }
    }
}

impl<const DOT: u8> Unpack for X86<DOT> {
    type Bytes = __m256i;

    #[inline(always)]
    fn half_to_float(self, bits: u16) -> f32 {
        let x: __m128;
        // Of the intrinsics the compiler makes an insertion into a register with an older result, which must
        // then be waited for.
        unsafe {
            asm!(
                "vmovd {x}, {bits:e}",
                "vcvtph2ps {x}, {x}",
                x = out(xmm_reg) x,
                bits = in(reg) u32::from(bits),
                options(pure, nomem, nostack, preserves_flags),
            );
            _mm_cvtss_f32(x)
        }
    }

    #[inline(always)]
    fn load_bytes(self, bytes: &[u8; 32]) -> __m256i {
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_words(self, [a, b, c, d]: [u64; 4]) -> __m256i {
        unsafe { _mm256_setr_epi64x(a as i64, b as i64, c as i64, d as i64) }
    }

    #[inline(always)]
    fn splat_byte(self, byte: u8) -> __m256i {
        unsafe { _mm256_set1_epi8(byte as i8) }
    }

    #[inline(always)]
    fn mask_of_bits(self, bits: u32) -> __m256i {
        unsafe {
            // Byte i of the bits to bytes 8·i to 8·i + 7; of these, bit j.
            let bytes =
                _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
            let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
            let spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), bytes);
            _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit)
        }
    }

    #[inline(always)]
    fn spread_pairs(self, bytes: [u8; 8]) -> __m256i {
        unsafe {
            let wide = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes)));
            let nibbles = _mm256_or_si256(wide, _mm256_slli_epi32::<12>(wide));
            let pairs = _mm256_or_si256(nibbles, _mm256_slli_epi32::<6>(nibbles));
            _mm256_and_si256(pairs, _mm256_set1_epi8(3))
        }
    }

    #[inline(always)]
    fn and(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_and_si256(a, b) }
    }

    #[inline(always)]
    fn or(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_or_si256(a, b) }
    }

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_xor_si256(a, b) }
    }

    #[inline(always)]
    fn add_bytes(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi8(a, b) }
    }

    #[inline(always)]
    fn sub_bytes(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_sub_epi8(a, b) }
    }
}

impl<const DOT: u8> Simd for X86<DOT> {
    type F32 = __m256;
    type I32 = __m256i;
    /// Four codes of a row in each lane; and, of signed codes, the magnitudes of these.
    type Codes = ([__m256i; 8], [__m256i; 8]);

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, x: &[f32; 8]) -> __m256 {
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, x: __m256, to: &mut [f32; 8]) {
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn neg_mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn splat_halves(self, low: f32, high: f32) -> __m256 {
        unsafe { _mm256_setr_m128(_mm_set1_ps(low), _mm_set1_ps(high)) }
    }

    #[inline(always)]
    fn sum(self, x: __m256) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn column(self, rows: &[[f32; 16]; 8], i: usize) -> __m256 {
        let [a, b, c, d, e, f, g, h] = rows;
        unsafe { _mm256_setr_ps(a[i], b[i], c[i], d[i], e[i], f[i], g[i], h[i]) }
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[[u8; 2]; 8]) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bytes.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_f32(self, bytes: &[[u8; 4]; 8]) -> __m256 {
        unsafe { _mm256_loadu_ps(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_bf16(self, bytes: &[[u8; 2]; 8]) -> __m256 {
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(bytes.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    fn transpose(self, r: [__m256; 8]) -> [__m256; 8] {
        unsafe {
            let a = [
                _mm256_unpacklo_ps(r[0], r[1]),
                _mm256_unpackhi_ps(r[0], r[1]),
                _mm256_unpacklo_ps(r[2], r[3]),
                _mm256_unpackhi_ps(r[2], r[3]),
                _mm256_unpacklo_ps(r[4], r[5]),
                _mm256_unpackhi_ps(r[4], r[5]),
                _mm256_unpacklo_ps(r[6], r[7]),
                _mm256_unpackhi_ps(r[6], r[7]),
            ];
            let b = [
                _mm256_shuffle_ps::<0x44>(a[0], a[2]),
                _mm256_shuffle_ps::<0xee>(a[0], a[2]),
                _mm256_shuffle_ps::<0x44>(a[1], a[3]),
                _mm256_shuffle_ps::<0xee>(a[1], a[3]),
                _mm256_shuffle_ps::<0x44>(a[4], a[6]),
                _mm256_shuffle_ps::<0xee>(a[4], a[6]),
                _mm256_shuffle_ps::<0x44>(a[5], a[7]),
                _mm256_shuffle_ps::<0xee>(a[5], a[7]),
            ];
            [
                _mm256_permute2f128_ps::<0x20>(b[0], b[4]),
                _mm256_permute2f128_ps::<0x20>(b[1], b[5]),
                _mm256_permute2f128_ps::<0x20>(b[2], b[6]),
                _mm256_permute2f128_ps::<0x20>(b[3], b[7]),
                _mm256_permute2f128_ps::<0x31>(b[0], b[4]),
                _mm256_permute2f128_ps::<0x31>(b[1], b[5]),
                _mm256_permute2f128_ps::<0x31>(b[2], b[6]),
                _mm256_permute2f128_ps::<0x31>(b[3], b[7]),
            ]
        }
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m256i {
        unsafe { _mm256_set1_epi32(x) }
    }

    #[inline(always)]
    fn add_i32(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub_i32(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn to_f32(self, x: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(x) }
    }

    #[inline(always)]
    fn arrange<const SIGNED: bool>(self, mut r: [__m256i; 8], levels: Option<[u8; 16]>) -> Self::Codes {
        unsafe {
            if let Some(levels) = levels {
                let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(levels.as_ptr().cast()));
                for row in &mut r {
                    *row = _mm256_shuffle_epi8(table, *row);
                }
            }
            let codes = transpose_words(r);
            let mut magnitudes = codes;
            if SIGNED {
                for magnitude in &mut magnitudes {
                    *magnitude = _mm256_abs_epi8(*magnitude);
                }
            }
            (codes, magnitudes)
        }
    }

    #[inline(always)]
    fn dot<const SIGNED: bool, const GROUP: usize, const FROM: usize, const TO: usize>(
        self,
        (codes, magnitudes): &Self::Codes,
        x: &[i8; 32],
    ) -> __m256i {
        unsafe {
            let mut sums = [_mm256_setzero_si256(); 8];
            for j in FROM..TO {
                let x = _mm256_set1_epi32(x.as_ptr().add(4 * j).cast::<i32>().read_unaligned());
                // The first operand of a product of bytes is unsigned.
                let (code, x) =
                    if SIGNED { (magnitudes[j], _mm256_sign_epi8(x, codes[j])) } else { (codes[j], x) };
                sums[j] = match DOT {
                    // Two products of a code and a number are at most 2·128·127, which fits.
                    MADDUBS => _mm256_maddubs_epi16(code, x),
                    // Two sums, so that not every product waits for the one before.
                    _ if j < FROM + 2 => dot_bytes::<DOT>(_mm256_setzero_si256(), code, x),
                    _ => dot_bytes::<DOT>(sums[j - 2], code, x),
                };
            }
            if DOT != MADDUBS {
                return _mm256_add_epi32(sums[TO - 1], sums[TO - 2]);
            }
            // Pairwise: in 16 bits up to GROUP of them, then in 32.
            let (mut count, mut group) = (TO - FROM, GROUP);
            while group > 1 && count > 1 {
                for i in 0..count / 2 {
                    sums[FROM + i] = _mm256_add_epi16(sums[FROM + 2 * i], sums[FROM + 2 * i + 1]);
                }
                count /= 2;
                group /= 2;
            }
            for sum in &mut sums[FROM..FROM + count] {
                *sum = _mm256_madd_epi16(*sum, _mm256_set1_epi16(1));
            }
            while count > 1 {
                for i in 0..count / 2 {
                    sums[FROM + i] = _mm256_add_epi32(sums[FROM + 2 * i], sums[FROM + 2 * i + 1]);
                }
                count /= 2;
            }
            sums[FROM]
        }
    }

    #[inline(always)]
    fn dot_row<const SIGNED: bool>(
        self,
        mut codes: __m256i,
        levels: Option<[u8; 16]>,
        x: &[i8; 32],
    ) -> __m256i {
        unsafe {
            let mut x = _mm256_loadu_si256(x.as_ptr().cast());
            if let Some(levels) = levels {
                let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(levels.as_ptr().cast()));
                codes = _mm256_shuffle_epi8(table, codes);
            }
            if SIGNED {
                x = _mm256_sign_epi8(x, codes);
                codes = _mm256_abs_epi8(codes);
            }
            match DOT {
                MADDUBS => _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), _mm256_set1_epi16(1)),
                _ => dot_bytes::<DOT>(_mm256_setzero_si256(), codes, x),
            }
        }
    }

    #[inline(always)]
    fn prefetch(self, slice: &[u8], offset: usize, bytes: usize) {
        // A prefetch of any address is allowed.
        let start = slice.as_ptr().wrapping_add(offset);
        let mut at = 0;
        while at < bytes {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(at).cast()) };
            at += 64;
        }
    }
}

/// `sums` plus Σ code·x of four bytes, in each lane.
///
/// # Safety
///
/// The processor has the instruction for `DOT`, which is not [`MADDUBS`].
#[inline(always)]
unsafe fn dot_bytes<const DOT: u8>(sums: __m256i, code: __m256i, x: __m256i) -> __m256i {
    unsafe {
        match DOT {
            AVX_VNNI => _mm256_dpbusd_avx_epi32(sums, code, x),
            _ => _mm256_dpbusd_epi32(sums, code, x),
        }
    }
}

/// Word i of vector j becomes word j of vector i.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn transpose_words(r: [__m256i; 8]) -> [__m256i; 8] {
    unsafe {
        let a = [
            _mm256_unpacklo_epi32(r[0], r[1]),
            _mm256_unpackhi_epi32(r[0], r[1]),
            _mm256_unpacklo_epi32(r[2], r[3]),
            _mm256_unpackhi_epi32(r[2], r[3]),
            _mm256_unpacklo_epi32(r[4], r[5]),
            _mm256_unpackhi_epi32(r[4], r[5]),
            _mm256_unpacklo_epi32(r[6], r[7]),
            _mm256_unpackhi_epi32(r[6], r[7]),
        ];
        let b = [
            _mm256_unpacklo_epi64(a[0], a[2]),
            _mm256_unpackhi_epi64(a[0], a[2]),
            _mm256_unpacklo_epi64(a[1], a[3]),
            _mm256_unpackhi_epi64(a[1], a[3]),
            _mm256_unpacklo_epi64(a[4], a[6]),
            _mm256_unpackhi_epi64(a[4], a[6]),
            _mm256_unpacklo_epi64(a[5], a[7]),
            _mm256_unpackhi_epi64(a[5], a[7]),
        ];
        [
            _mm256_permute2x128_si256::<0x20>(b[0], b[4]),
            _mm256_permute2x128_si256::<0x20>(b[1], b[5]),
            _mm256_permute2x128_si256::<0x20>(b[2], b[6]),
            _mm256_permute2x128_si256::<0x20>(b[3], b[7]),
            _mm256_permute2x128_si256::<0x31>(b[0], b[4]),
            _mm256_permute2x128_si256::<0x31>(b[1], b[5]),
            _mm256_permute2x128_si256::<0x31>(b[2], b[6]),
            _mm256_permute2x128_si256::<0x31>(b[3], b[7]),
        ]
    }
}
