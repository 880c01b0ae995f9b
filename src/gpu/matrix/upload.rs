//! Fills a matrix with blocks from the host or from a buffer of the device.

use super::copy::{RowShape, ScatterFieldsParams, Source};
use super::layout::{FieldLayout, VEC4_BYTES, interleaved_rows};
use super::{Matrix, Shard, Storage};
use crate::gpu::Gpu;
use crate::gpu::convert::converter::CHUNK_BYTES;
use crate::gpu::device::wait::Wait;
use crate::gpu::op::Op;
use crate::gpu::op::step::Step;
use crate::{Error, Format, Result, cpu};
use std::ops::Range;
use std::sync::Arc;
use wgpu::BufferUsages;

/// A matrix that is being filled: buffers with some of the rows each, zeros at first.
pub(super) struct Upload<'a> {
    gpu: &'a Gpu,
    wait: Wait,
    format: Format,
    rows: usize,
    cols: usize,
    buffers: Vec<wgpu::Buffer>,
    /// Rows of each buffer but the last.
    buffer_rows: usize,
    /// How many rows are interleaved block by block. Each buffer has room for a multiple of this.
    interleaved_rows: usize,
    /// The buffer that receives blocks from the host.
    staging: Option<wgpu::Buffer>,
}

impl<'a> Upload<'a> {
    pub(super) fn new(gpu: &'a Gpu, wait: Wait, format: Format, rows: usize, cols: usize) -> Result<Self> {
        cpu::check_shape(format, rows, cols)?;
        let layout = FieldLayout::of(format);
        let row_blocks = layout.blocks(cols) as u64;
        let row_bytes = row_blocks * layout.block_bytes as u64;
        // Bindings are whole vec4s, and below 4 GiB so that a shader can count the bytes.
        let mut limit = gpu.max_binding_bytes().min(u64::from(u32::MAX)) / 16 * 16;
        if gpu.weight_textures() {
            limit = limit.min(gpu.max_texture_bytes());
        }
        let most_rows = (limit / row_bytes) as usize;
        let interleaved_rows = if gpu.weight_textures() && most_rows >= interleaved_rows(format) {
            interleaved_rows(format)
        } else {
            1
        };
        let buffer_rows = most_rows / interleaved_rows * interleaved_rows;
        if buffer_rows == 0 {
            let needed = format!("at most {limit}, the device's largest binding");
            return Err(Error::Number { what: "bytes of a row", needed, found: row_bytes });
        }
        let buffers = (0..rows).step_by(buffer_rows).map(|first_row| {
            let rows = buffer_rows.min(rows - first_row);
            let copied = if gpu.weight_textures() { BufferUsages::COPY_SRC } else { BufferUsages::empty() };
            let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | copied;
            gpu.buffer(
                layout.device_bytes(row_blocks * rows.next_multiple_of(interleaved_rows) as u64),
                usage,
            )
        });
        let buffers = buffers.collect::<Result<_>>()?;
        Ok(Self { gpu, wait, format, rows, cols, buffers, buffer_rows, interleaved_rows, staging: None })
    }

    /// Fills rows from `first_row` with a file's blocks.
    pub(super) async fn upload(&mut self, first_row: usize, bytes: &[u8]) -> Result<()> {
        let row_bytes = self.format.bytes_for(self.cols as u64) as usize;
        let mut row = first_row;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (buffer, in_buffer) = (row / self.buffer_rows, row % self.buffer_rows);
            let most = (self.buffer_rows - in_buffer) * row_bytes;
            let (now, later) = rest.split_at(most.min(rest.len()));
            if self.format.is_float() {
                self.upload_floats(buffer, in_buffer, now).await?;
            } else {
                self.upload_blocks(buffer, in_buffer, now).await?;
            }
            rest = later;
            row += now.len() / row_bytes;
        }
        Ok(())
    }

    /// Prepares filling `rows` rows from `first_row` with consecutive rows of a device buffer.
    pub(super) fn prepare_copy(
        &self,
        gpu: &Gpu,
        first_row: usize,
        rows: usize,
        source: &Source,
    ) -> Result<Op> {
        let row_blocks = self.cols / self.format.info().block_weights;
        let row_bytes = row_blocks as u64 * source.stride;
        let (mut steps, mut row) = (Vec::new(), first_row);
        while row < first_row + rows {
            let (buffer, in_buffer) = (row / self.buffer_rows, row % self.buffer_rows);
            let now = (self.buffer_rows - in_buffer).min(first_row + rows - row);
            let source =
                Source { offset: source.offset + (row - first_row) as u64 * row_bytes, ..source.clone() };
            if self.format.is_float() {
                let words = (FieldLayout::of(self.format).blocks(self.cols) * VEC4_BYTES / 4) as u64;
                let (first, rows) = (in_buffer as u64, now as u64);
                let shape = RowShape { bytes: row_bytes, words };
                steps.push(gpu.prepare_copy_rows(
                    &source,
                    first * row_bytes,
                    rows * row_bytes,
                    &shape,
                    &self.buffers[buffer],
                    first * words..(first + rows) * words,
                )?);
            } else {
                let first_block = (in_buffer * row_blocks) as u64;
                let blocks = (now * row_blocks) as u64;
                steps.extend(self.prepare_scatter(gpu, buffer, first_block, blocks, &source)?);
            }
            row += now;
        }
        Ok(Op::new(steps))
    }

    /// The number of rows in a buffer.
    fn rows_of(&self, buffer: usize) -> usize {
        self.buffer_rows.min(self.rows - buffer * self.buffer_rows)
    }

    /// Fills rows of a buffer with weights of a float format. Waits after each chunk to limit memory.
    async fn upload_floats(&self, buffer: usize, first_row: usize, bytes: &[u8]) -> Result<()> {
        let gpu = self.gpu;
        let row_bytes = self.format.bytes_for(self.cols as u64) as usize;
        let stride = FieldLayout::of(self.format).blocks(self.cols) * VEC4_BYTES;
        for (i, rows) in bytes.chunks(CHUNK_BYTES.next_multiple_of(row_bytes)).enumerate() {
            let mut padded = Vec::with_capacity(rows.len() / row_bytes * stride);
            for row in rows.chunks(row_bytes) {
                padded.extend_from_slice(row);
                padded.resize(padded.len().next_multiple_of(VEC4_BYTES), 0);
            }
            let at = (first_row + i * CHUNK_BYTES.div_ceil(row_bytes)) * stride;
            gpu.guarded(|| gpu.queue().write_buffer(&self.buffers[buffer], at as u64, &padded))?;
            gpu.flushed(self.wait).await?;
        }
        Ok(())
    }

    /// Fills rows of a buffer with blocks of a quantized format.
    async fn upload_blocks(&mut self, buffer: usize, first_row: usize, bytes: &[u8]) -> Result<()> {
        let gpu = self.gpu;
        let info = self.format.info();
        let chunk_bytes = CHUNK_BYTES / info.block_bytes * info.block_bytes;
        let staging_bytes = chunk_bytes.min(bytes.len()).next_multiple_of(4) as u64;
        let staging = match self.staging.take().filter(|staging| staging.size() >= staging_bytes) {
            Some(staging) => staging,
            None => gpu.buffer(staging_bytes, BufferUsages::STORAGE | BufferUsages::COPY_DST)?,
        };
        let stride = info.block_bytes as u64;
        let source = Source { name: "the blocks", buffer: &staging, offset: 0, stride };
        let mut block = (first_row * (self.cols / info.block_weights)) as u64;
        for chunk in bytes.chunks(chunk_bytes) {
            let count = (chunk.len() / info.block_bytes) as u64;
            let prepare = |gpu: &Gpu| self.prepare_scatter(gpu, buffer, block, count, &source);
            let op = Op::new(gpu.prepared(self.wait, prepare).await?);
            let submission = gpu.guarded(|| {
                write_padded(gpu, &staging, chunk);
                gpu.submit(|encoder| op.record(encoder))
            })?;
            gpu.done(self.wait, submission).await?;
            block += count;
        }
        self.staging = Some(staging);
        Ok(())
    }

    /// Prepares a dispatch for each field of `count` blocks. The first is block `first` of the buffer,
    /// counted row by row.
    fn prepare_scatter(
        &self,
        gpu: &Gpu,
        buffer: usize,
        first: u64,
        count: u64,
        source: &Source,
    ) -> Result<Vec<Step>> {
        let layout = FieldLayout::of(self.format);
        let row_blocks = layout.blocks(self.cols) as u64;
        let rows = self.rows_of(buffer).next_multiple_of(self.interleaved_rows) as u64;
        let block_order = BlockOrder {
            row_blocks,
            blocks: rows * row_blocks,
            interleaved_rows: self.interleaved_rows as u64,
        };
        let (bound, skip) = source.bound(gpu, (count - 1) * source.stride + layout.block_bytes as u64);
        let steps = layout.fields.iter().map(|field| {
            let around = block_order.around(first, count);
            let at = block_order.blocks * field.start as u64 + around.start * field.bytes as u64;
            // A word may hold the end of one chunk and the start of the next.
            let within = at % 4;
            let words = (within + (around.end - around.start) * field.bytes as u64).div_ceil(4);
            let params = ScatterFieldsParams {
                blocks: count as u32,
                stride: source.stride as u32,
                offset: field.from as u32 + skip as u32,
                bytes: field.bytes as u32,
                first: (at / 4) as u32,
                skip: within as u32,
                matrix_block: around.start as u32,
                source_block: first as u32,
                row_blocks: block_order.row_blocks as u32,
                interleaved_rows: block_order.interleaved_rows as u32,
            };
            gpu.prepare_scatter_field(&bound, &self.buffers[buffer], words, &params)
        });
        steps.collect()
    }

    pub(super) async fn finish(self) -> Result<Matrix> {
        let rows: Vec<_> = (0..self.buffers.len()).map(|i| self.rows_of(i) as u32).collect();
        let (gpu, buffer_rows, interleaved_rows) = (self.gpu, self.buffer_rows, self.interleaved_rows as u32);
        let layout = FieldLayout::of(self.format);
        let vec4_bytes = (layout.blocks(self.cols) * layout.vec4_bytes()) as u64;
        let mut shards = Vec::with_capacity(rows.len());
        for (i, (buffer, rows)) in self.buffers.into_iter().zip(rows).enumerate() {
            let (storage, bytes) = if gpu.weight_textures() {
                let vec4_bytes = vec4_bytes * u64::from(rows.next_multiple_of(interleaved_rows));
                let (textures, bytes) = gpu.weight_textures_of(self.wait, &buffer, vec4_bytes).await?;
                (Storage::Textures(textures), bytes)
            } else {
                let bytes = buffer.size();
                (Storage::Buffer(buffer), bytes)
            };
            let first_row = (i * buffer_rows) as u32;
            shards.push(Shard {
                storage,
                bytes,
                first_row,
                rows,
                interleaved_rows,
                row_scales: Arc::default(),
            });
        }
        Ok(Matrix {
            gpu: gpu.clone(),
            format: self.format,
            rows: self.rows as u32,
            cols: self.cols as u32,
            shards,
        })
    }
}

/// Writes bytes to the start of a buffer, padded with zeros to whole words.
pub(super) fn write_padded(gpu: &Gpu, buffer: &wgpu::Buffer, bytes: &[u8]) {
    if bytes.len().is_multiple_of(4) {
        gpu.queue().write_buffer(buffer, 0, bytes);
    } else {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(4), 0);
        gpu.queue().write_buffer(buffer, 0, &padded);
    }
}

/// The order of blocks in a buffer.
struct BlockOrder {
    row_blocks: u64,
    blocks: u64,
    interleaved_rows: u64,
}

impl BlockOrder {
    /// The range on the device that contains `count` blocks from `first`, counted row by row: exactly these,
    /// or whole groups of interleaved rows.
    fn around(&self, first: u64, count: u64) -> Range<u64> {
        if self.interleaved_rows == 1 {
            return first..first + count;
        }
        let group_blocks = self.interleaved_rows * self.row_blocks;
        first / group_blocks * group_blocks..(first + count).next_multiple_of(group_blocks)
    }
}
