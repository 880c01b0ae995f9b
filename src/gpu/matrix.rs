//! Matrices of quantized weights on the device.

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

/// A matrix of weights in a device's memory that stay quantized: the bytes of a file, rearranged.
///
/// Fields of blocks are stored separately (`src/gpu/matrix/layout.rs`), and rows are split among several
/// buffers if the device's limits require it. The size is that in a file, rounded up for each buffer; rows of
/// F32, F16 and BF16 are padded to 16 bytes. On llvmpipe, Mesa's software adapter, each buffer is a pair of
/// textures with rows of 32 KiB and a multiple of 32 rows of the matrix.
///
/// Cheap to clone; clones share the memory, which is freed with the last clone and the last operation
/// prepared on it. A matrix keeps its device open.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The device.
    pub(super) gpu: Gpu,
    pub(super) format: Format,
    pub(super) rows: u32,
    pub(super) cols: u32,
    pub(super) shards: Vec<Shard>,
}

/// Consecutive rows in one buffer.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) storage: Storage,
    pub(super) bytes: u64,
    pub(super) first_row: u32,
    pub(super) rows: u32,
    /// How many rows are interleaved block by block; 1 if blocks are stored row by row.
    pub(super) interleaved_rows: u32,
    /// The per-row scales for matrix units, after their first use (`matmul/f16_activations.rs`).
    pub(super) row_scales: Arc<OnceLock<wgpu::Buffer>>,
}

/// Where and how the blocks of a shard are stored.
#[derive(Clone, Debug)]
pub(super) enum Storage {
    Buffer(wgpu::Buffer),
    Textures(WeightTextures),
    /// A buffer with blocks as in a file.
    File(wgpu::Buffer),
}

/// A float format and a quantized one, to represent all formats in programs that differ only in how they read
/// the matrix.
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

    /// Bytes of device memory, including 4 bytes a row of scales once matrix units have multiplied by it.
    pub fn device_bytes(&self) -> u64 {
        let scales = |shard: &Shard| shard.row_scales.get().map_or(0, wgpu::Buffer::size);
        self.shards.iter().map(|shard| shard.bytes + scales(shard)).sum()
    }

    /// Blocks in a row on the device.
    pub(super) fn row_blocks(&self) -> u64 {
        FieldLayout::of(self.format).blocks(self.cols as usize) as u64
    }

    /// Quads in a row on the device.
    pub(super) fn row_quads(&self) -> u64 {
        self.row_blocks() * FieldLayout::of(self.format).quads as u64
    }

    /// Fails with [`Error::OtherDevice`](crate::Error::OtherDevice) if `gpu` is not this matrix's device.
    pub(super) fn check_device(&self, gpu: &Gpu) -> Result<()> {
        gpu.check_device(&self.gpu, "the matrix")
    }

    /// Whether rows end within a block.
    pub(super) fn is_ragged(&self) -> bool {
        u64::from(self.cols) != 4 * self.row_quads()
    }
}
