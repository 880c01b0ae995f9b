//! The trait by which a CPU multiplies a format's weights in integers.

use super::Codec;

/// A format's weights as signed bytes, 32 at a time: `w = scale·code - min`.
///
/// The counterpart of `lib/codes.wgsl`. `BYTES` is the length of a block. A block has one or more units, a
/// unit has up to four parts, and a part has 32 weights; a unit is what is unpacked from the same bytes.
/// Every function is `#[inline(always)]`: the kernels compile it for each instruction set.
pub(crate) trait Codes<const BYTES: usize>: Codec {
    /// The least code.
    const LEAST: i8;
    /// The greatest code. A wider range costs instructions: up to 15, 31, 63 and 127 above the least.
    const GREATEST: i8;
    /// Parts in a unit: 1, 2 or 4.
    const UNIT: usize = 1;
    /// Whether each half of a part has a scale of its own.
    const HALVES: bool = false;
    /// Whether there are mins.
    const MINS: bool = false;
    /// Where it is there, [`Codes::codes`] returns indices into this table.
    const LEVELS: Option<[i8; 16]> = None;

    /// The scales of a block, one for each part or half of a part, and its mins where there are any.
    fn scales(block: &[u8; BYTES], simd: impl Unpack, scales: &mut [f32; 16], mins: &mut [f32; 16]);

    /// The codes of part `PART` of a unit: signed bytes if they span more than 127, and otherwise counted
    /// from [`Codes::LEAST`]; or indices into [`Codes::LEVELS`].
    fn codes<const PART: usize, S: Unpack>(simd: S, block: &[u8; BYTES], unit: usize) -> S::Bytes;
}

/// What a processor does for unpacking blocks, 32 bytes at a time.
pub(crate) trait Unpack: Copy {
    /// 32 bytes, the first weight's first.
    type Bytes: Copy;

    /// The f16 of these bits as f32, exactly.
    fn half_to_float(self, bits: u16) -> f32;

    fn load_bytes(self, bytes: &[u8; 32]) -> Self::Bytes;
    /// Eight bytes of each word, the lowest first.
    fn load_words(self, words: [u64; 4]) -> Self::Bytes;
    fn splat_byte(self, byte: u8) -> Self::Bytes;
    /// Byte i is 255 if bit i is set, and else 0.
    fn mask_of_bits(self, bits: u32) -> Self::Bytes;
    /// The four pairs of bits of each byte, the lowest first.
    fn spread_pairs(self, bytes: [u8; 8]) -> Self::Bytes;
    fn and(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    fn or(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    fn xor(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    fn add_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    fn sub_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
}

/// Whether codes span so much that they stay signed.
pub(crate) const fn is_signed<const BYTES: usize, C: Codes<BYTES>>() -> bool {
    C::GREATEST as i32 - C::LEAST as i32 > 127
}

/// The bits of the f16 at `offset` in a block.
#[inline(always)]
pub(super) fn half_bits(block: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([block[offset], block[offset + 1]])
}
