//! The instruction sets that fast products are written for.
//!
//! Kernels are written once, over [`Simd`]: eight lanes, one for each of eight rows. [`Level`] is chosen
//! at run time. [`plain`] is the simple form, which every other is tested against.

mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::format::Unpack;
pub(crate) use plain::Plain;
use std::sync::OnceLock;

/// Eight lanes. A value of the type exists only where the processor has the instructions.
pub(super) trait Simd: Unpack {
    /// Eight f32.
    type F32: Copy;
    /// Eight i32.
    type I32: Copy;
    /// 32 codes of each of eight rows.
    type Codes: Copy;

    fn splat(self, x: f32) -> Self::F32;
    fn load(self, x: &[f32; 8]) -> Self::F32;
    fn store(self, x: Self::F32, to: &mut [f32; 8]);
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a·b + c, rounded once or twice.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// c - a·b, rounded once or twice.
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `low` in the first four lanes, `high` in the others.
    fn splat_halves(self, low: f32, high: f32) -> Self::F32;
    /// The sum of all lanes.
    fn sum(self, x: Self::F32) -> f32;
    /// The numbers `i` of eight rows.
    fn column(self, rows: &[[f32; 16]; 8], i: usize) -> Self::F32;
    /// Eight f32 of a file.
    fn load_f32(self, bytes: &[[u8; 4]; 8]) -> Self::F32;
    /// Eight f16 of a file.
    fn load_f16(self, bytes: &[[u8; 2]; 8]) -> Self::F32;
    /// Eight bf16 of a file.
    fn load_bf16(self, bytes: &[[u8; 2]; 8]) -> Self::F32;
    /// Lane i of vector j becomes lane j of vector i.
    fn transpose(self, rows: [Self::F32; 8]) -> [Self::F32; 8];

    fn splat_i32(self, x: i32) -> Self::I32;
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    fn sub_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// The nearest f32.
    fn to_f32(self, x: Self::I32) -> Self::F32;

    /// The codes of eight rows, as `range` stores them, for [`Simd::dot`]. With `levels`, the codes are
    /// indices into them.
    fn arrange<const SIGNED: bool>(self, rows: [Self::Bytes; 8], levels: Option<[u8; 16]>) -> Self::Codes;

    /// Σ code·x of eight rows, over columns 4·FROM to 4·TO.
    ///
    /// If `SIGNED`, codes are signed bytes. Otherwise they are unsigned, at most 127, and sums of 2·`GROUP`
    /// products fit into 16 bits.
    fn dot<const SIGNED: bool, const GROUP: usize, const FROM: usize, const TO: usize>(
        self,
        codes: &Self::Codes,
        x: &[i8; 32],
    ) -> Self::I32;

    /// Σ code·x of one row, four columns in each lane, of codes as for [`Simd::arrange`].
    fn dot_row<const SIGNED: bool>(
        self,
        codes: Self::Bytes,
        levels: Option<[u8; 16]>,
        x: &[i8; 32],
    ) -> Self::I32;

    /// Asks for the cache lines of `bytes` bytes that begin `offset` bytes after the start of `slice`. They
    /// may be past its end.
    fn prefetch(self, slice: &[u8], offset: usize, bytes: usize);
}

/// Work that any instruction set can do. Implementations are `#[inline(always)]` with all they call.
pub(super) trait Work {
    fn run<S: Simd>(self, simd: S);
}

/// The instructions that fast products use on this machine: `avx512-vnni`, `avx-vnni`, `avx2`, or `plain` for
/// what every processor of its kind has.
pub fn instruction_set() -> &'static str {
    Level::best().name()
}

/// The instruction sets, the slowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "of other processors"))]
pub(super) enum Level {
    Plain,
    Avx2,
    AvxVnni,
    Avx512Vnni,
}

impl Level {
    const ALL: [Self; 4] = [Self::Plain, Self::Avx2, Self::AvxVnni, Self::Avx512Vnni];

    /// All that this processor has, the slowest first.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.is_available())
    }

    /// The fastest that this processor has.
    pub(super) fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().last().unwrap_or(Self::Plain))
    }

    fn is_available(self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::Avx2::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => x86::AvxVnni::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => x86::Avx512Vnni::new().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx-vnni",
            Self::Avx512Vnni => "avx512-vnni",
        }
    }

    /// Does `work` with these instructions, or plainly where the processor lacks them.
    pub(super) fn run(self, work: impl Work) {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Plain => {}
            Self::Avx2 => {
                if let Some(simd) = x86::Avx2::new() {
                    return simd.run(work);
                }
            }
            Self::AvxVnni => {
                if let Some(simd) = x86::AvxVnni::new() {
                    return simd.run(work);
                }
            }
            Self::Avx512Vnni => {
                if let Some(simd) = x86::Avx512Vnni::new() {
                    return simd.run(work);
                }
            }
        }
        work.run(Plain);
    }
}
