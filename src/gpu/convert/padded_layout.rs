//! Blocks as quantizers and decoders have them on a device: each starts on a whole word.

use crate::Format;

/// The layout of a format's blocks, each padded to whole words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gpu) struct PaddedLayout {
    /// Quads of four weights in a block; a block of a float format is one quad.
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

    /// Blocks that hold this many weights; the last may be in part.
    pub(in crate::gpu) fn blocks(self, weights: u64) -> u64 {
        weights.div_ceil(4 * self.quads as u64)
    }

    /// Bytes on the device.
    pub(in crate::gpu) fn device_bytes(self, weights: u64) -> u64 {
        self.blocks(weights) * 4 * self.words as u64
    }
}

/// Bytes that `weights` weights of a format take on the device, where each block starts on a whole word and F32,
/// F16 and BF16 come in whole quads.
pub fn device_bytes(format: Format, weights: u64) -> u64 {
    PaddedLayout::of(format).device_bytes(weights)
}
