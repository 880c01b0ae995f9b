//! The traits that a format's file implements.

/// Decodes a format: whole blocks to weights.
///
/// Slices hold the same whole number of blocks on both sides. Implementations and everything they call are
/// `#[inline(always)]`: `info.rs` compiles them once per instruction set.
pub(crate) trait Codec {
    /// Weights in a block.
    const WEIGHTS: usize;
    /// Bytes in a block.
    const BYTES: usize;
    /// The bytes of each field of a block, in order. A GPU stores each field of all blocks together.
    const FIELDS: &'static [usize] = &[Self::BYTES];
    /// The codec in WGSL, by the contract of `shaders/README.md`.
    const SHADER: &'static str;
    /// The vectors of the codebook, as the shader reads them.
    const GRID: Option<fn() -> Vec<u32>> = None;
    /// Whether codes are nibbles that index a table of numbers, so that `lib/numbers.wgsl` can look up two at
    /// a time.
    const PAIRS: bool = false;

    /// Writes `blocks.len() / BYTES * WEIGHTS` weights.
    fn dequantize(blocks: &[u8], weights: &mut [f32]);

    /// Whether every scale stored in this block is a finite number (ggml's `ggml_validate_row_data`).
    fn is_valid(block: &[u8]) -> bool;
}

/// A [`Codec`] that also encodes, without calibration data.
pub(super) trait Encode: Codec {
    /// The passes in which the shader encodes.
    const PASSES: Passes = Passes::One;

    /// Writes `weights.len() / WEIGHTS * BYTES` bytes, all of them. Weights are finite.
    fn quantize(weights: &[f32], blocks: &mut [u8]);
}

/// The passes in which a shader encodes a format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Passes {
    /// One pass: an invocation encodes a block.
    One,
    /// Two passes: in the first an invocation searches the scale of one sub-block, in the second an
    /// invocation writes one part of a block.
    SearchAndPack {
        /// Sub-blocks in a block.
        sub_blocks: usize,
        /// Parts of a block.
        parts: usize,
    },
}

/// Pairs each block with the weights that it decodes to.
#[inline(always)]
pub(super) fn to_decode<'a, const BYTES: usize, const WEIGHTS: usize>(
    blocks: &'a [u8],
    weights: &'a mut [f32],
) -> impl Iterator<Item = (&'a [u8; BYTES], &'a mut [f32; WEIGHTS])> {
    blocks.as_chunks().0.iter().zip(weights.as_chunks_mut().0)
}

/// Pairs the weights of each block with the bytes that they encode to.
#[inline(always)]
pub(super) fn to_encode<'a, const WEIGHTS: usize, const BYTES: usize>(
    weights: &'a [f32],
    blocks: &'a mut [u8],
) -> impl Iterator<Item = (&'a [f32; WEIGHTS], &'a mut [u8; BYTES])> {
    weights.as_chunks().0.iter().zip(blocks.as_chunks_mut().0)
}
