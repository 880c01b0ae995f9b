//! The layout of blocks for quantizers and decoders on a device: each block is padded to whole words.

use crate::Format;

/// The layout of a format's blocks, each padded to whole words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gpu) struct PaddedLayout {
    /// Quads of weights in a block; for a float format, a block is one quad.
    pub(in crate::gpu) quads: usize,
    /// Words from one block to the next.
    pub(in crate::gpu) words: usize,
    /// Bytes of a block in a file.
    pub(in crate::gpu) file_bytes: usize,
}

impl PaddedLayout {
    pub(in crate::gpu) fn of(format: Format) -> Self {
        let info = format.info();
        let weights = info.block_weights.max(4);
        let file_bytes = info.block_bytes * (weights / info.block_weights);
        Self { quads: weights / 4, words: file_bytes.div_ceil(4), file_bytes }
    }

    /// The number of blocks of `weights` weights; the last may be incomplete.
    pub(in crate::gpu) fn blocks(self, weights: u64) -> u64 {
        weights.div_ceil(4 * self.quads as u64)
    }

    /// Bytes of `weights` weights on the device.
    pub(in crate::gpu) fn device_bytes(self, weights: u64) -> u64 {
        self.blocks(weights) * 4 * self.words as u64
    }
}

/// Bytes of `weights` weights on the device, where each block is padded to whole words and F32, F16 and BF16
/// to whole quads.
pub fn device_bytes(format: Format, weights: u64) -> u64 {
    PaddedLayout::of(format).device_bytes(weights)
}
