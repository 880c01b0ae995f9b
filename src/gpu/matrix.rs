//! Quantized weights on the device, for operations that use them as they are.

pub(in crate::gpu) mod copy;
mod create;
pub(in crate::gpu) mod from_gguf;
pub(in crate::gpu) mod get_rows;
pub(in crate::gpu) mod layout;
pub(in crate::gpu) mod program;
pub(in crate::gpu) mod quantize;
pub(in crate::gpu) mod quantize_options;
pub(in crate::gpu) mod read;
pub(crate) mod textures;
mod upload;

use crate::gpu::Gpu;
use crate::{Format, Result};
use layout::FieldLayout;
use std::sync::{Arc, OnceLock};
use textures::WeightTextures;

/// A matrix of quantized weights in a device's memory, row by row: the bytes of a file, nothing decoded.
///
/// The fields of its blocks lie apart (`src/gpu/matrix/layout.rs`), and the rows are divided among as many buffers as
/// the device's limits ask for. It takes as many bytes as in a file, but for the last few of a buffer; each row of
/// F32, F16 and BF16 takes whole chunks of 16 bytes. On llvmpipe, Mesa's software adapter, each buffer is two
/// textures of whole rows of 32 KiB, with room for a multiple of 32 rows of the matrix. Cheap to clone; clones share
/// the memory, which is freed when the last clone and the last operation prepared with it are dropped. A matrix keeps
/// its device open.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The device that it is on.
    pub(super) gpu: Gpu,
    pub(super) format: Format,
    pub(super) rows: u32,
    pub(super) cols: u32,
    pub(super) shards: Vec<Shard>,
}

/// Some of the rows, in one buffer.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) storage: Storage,
    pub(super) bytes: u64,
    pub(super) first_row: u32,
    pub(super) rows: u32,
    /// Rows that take turns block by block; 1 where blocks lie row by row.
    pub(super) interleaved_rows: u32,
    /// The per-row scales for matrix units, once they have been computed (`matmul/f16_activations.rs`).
    pub(super) row_scales: Arc<OnceLock<wgpu::Buffer>>,
}

/// Where the blocks of a shard are.
#[derive(Clone, Debug)]
pub(super) enum Storage {
    Buffer(wgpu::Buffer),
    Textures(WeightTextures),
    /// A buffer with blocks as in a file.
    File(wgpu::Buffer),
}

/// A float format and a quantized one: examples where programs differ only in how they read the matrix.
pub(super) const FLOAT_AND_QUANTIZED: [Format; 2] = [Format::F16, Format::Q4_0];

impl Matrix {
    /// The format of the weights.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// The number of weights in a row.
    pub fn cols(&self) -> usize {
        self.cols as usize
    }

    /// Bytes of the device's memory that it takes; four a row more once matrix units have multiplied it.
    pub fn device_bytes(&self) -> u64 {
        let scales = |shard: &Shard| shard.row_scales.get().map_or(0, wgpu::Buffer::size);
        self.shards.iter().map(|shard| shard.bytes + scales(shard)).sum()
    }

    /// Blocks in a row, on the device.
    pub(super) fn row_blocks(&self) -> u64 {
        FieldLayout::of(self.format).blocks(self.cols as usize) as u64
    }

    /// Quads in a row, on the device.
    pub(super) fn row_quads(&self) -> u64 {
        self.row_blocks() * FieldLayout::of(self.format).quads as u64
    }

    /// Fails with [`Error::OtherDevice`](crate::Error::OtherDevice) where `gpu` is not the device that it is on.
    pub(super) fn check_device(&self, gpu: &Gpu) -> Result<()> {
        gpu.check_device(&self.gpu, "the matrix")
    }

    /// Whether a row ends within a block.
    pub(super) fn is_ragged(&self) -> bool {
        u64::from(self.cols) != 4 * self.row_quads()
    }
}
