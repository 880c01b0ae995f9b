//! Eight lanes, for which kernels are written.

use crate::format::Unpack;

/// Eight lanes. A value of the type exists only where the processor has the instructions.
pub(in crate::cpu) trait Simd: Unpack {
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
pub(in crate::cpu) trait Work {
    fn run<S: Simd>(self, simd: S);
}
