//! A file's blocks on their way into a matrix, where their fields lie apart.

use super::Gpu;
use super::kernel::{Access, WORKGROUP};
use super::matrix::{Blocks, Matrix, Shard, whole};
use super::op::{Dispatch, Op, in_order};
use super::pipeline::Arithmetic;
use super::shader;
use super::split::{self, CHUNK_BYTES, Split};
use crate::{Error, Format, Result, cpu};
use std::ops::Range;
use std::sync::Arc;
use wgpu::BufferUsages;

/// Bytes that are on their way at once.
const PIECE_BYTES: usize = 16 << 20;

pub(super) const NAME: &str = "split";

pub(super) fn wgsl() -> Result<String, String> {
    shader::join("kernel/split.wgsl", None, &[], &[("WORKGROUP", WORKGROUP as usize)])
}

/// A matrix on its way to the device: buffers with some of the rows each, and at first zero bits.
pub(super) struct Filling<'a> {
    gpu: &'a Gpu,
    format: Format,
    rows: usize,
    cols: usize,
    buffers: Vec<wgpu::Buffer>,
    /// Rows of each buffer but the last.
    buffer_rows: usize,
    /// Rows whose blocks take turns; whole bands of them have a place in a buffer.
    band: usize,
}

impl<'a> Filling<'a> {
    pub(super) fn new(gpu: &'a Gpu, format: Format, rows: usize, cols: usize) -> Result<Self> {
        cpu::check_positive("the number of rows", rows)?;
        cpu::check_positive("the number of columns", cols)?;
        if !cols.is_multiple_of(format.info().block_weights) {
            return Err(Error::RowLength { tensor: "the matrix".to_owned(), weights: cols as u64, format });
        }
        let split = Split::of(format);
        let row_blocks = split.blocks(cols) as u64;
        let row_bytes = row_blocks * split.block_bytes as u64;
        // Bindings are whole chunks; below 4 GiB, so that a shader can count the bytes.
        let mut limit = gpu.max_binding_bytes().min(u64::from(u32::MAX)) / 16 * 16;
        if gpu.prefers_texels() {
            limit = limit.min(gpu.max_texel_bytes());
        }
        let most_rows = (limit / row_bytes) as usize;
        let band =
            if gpu.prefers_texels() && most_rows >= split::band(format) { split::band(format) } else { 1 };
        let buffer_rows = most_rows / band * band;
        if buffer_rows == 0 {
            let needed = format!("at most {limit}, the device's largest binding");
            return Err(Error::Number { what: "bytes of a row", needed, found: row_bytes });
        }
        let buffers = (0..rows).step_by(buffer_rows).map(|first_row| {
            let rows = buffer_rows.min(rows - first_row);
            let copied = if gpu.prefers_texels() { BufferUsages::COPY_SRC } else { BufferUsages::empty() };
            let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | copied;
            gpu.buffer(split.device_bytes(row_blocks * rows.next_multiple_of(band) as u64), usage)
        });
        Ok(Self { gpu, format, rows, cols, buffers: buffers.collect::<Result<_>>()?, buffer_rows, band })
    }

    /// Fills rows from `first_row` on with a file's blocks.
    pub(super) fn upload(&self, first_row: usize, bytes: &[u8]) -> Result<()> {
        let row_bytes = self.format.bytes_for(self.cols as u64) as usize;
        let mut row = first_row;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (buffer, in_buffer) = (row / self.buffer_rows, row % self.buffer_rows);
            let most = (self.buffer_rows - in_buffer) * row_bytes;
            let (now, later) = rest.split_at(most.min(rest.len()));
            self.fill(buffer, in_buffer, now)?;
            rest = later;
            row += now.len() / row_bytes;
        }
        Ok(())
    }

    /// Rows of a buffer.
    fn rows_of(&self, buffer: usize) -> usize {
        self.buffer_rows.min(self.rows - buffer * self.buffer_rows)
    }

    /// Fills rows of a buffer.
    fn fill(&self, buffer: usize, first_row: usize, bytes: &[u8]) -> Result<()> {
        let gpu = self.gpu;
        let row_bytes = self.format.bytes_for(self.cols as u64) as usize;
        let row_blocks = Split::of(self.format).blocks(self.cols);
        let rows = self.rows_of(buffer).next_multiple_of(self.band);
        let buffer = &self.buffers[buffer];
        if !self.format.is_float() {
            let place = Place {
                row_blocks: row_blocks as u64,
                blocks: (rows * row_blocks) as u64,
                band: self.band as u64,
            };
            return fill(gpu, self.format, buffer, &place, (first_row * row_blocks) as u64, bytes);
        }
        let stride = row_blocks * Split::of(self.format).block_bytes;
        for (i, rows) in bytes.chunks(PIECE_BYTES.next_multiple_of(row_bytes)).enumerate() {
            let mut padded = Vec::with_capacity(rows.len() / row_bytes * stride);
            for row in rows.chunks(row_bytes) {
                padded.extend_from_slice(row);
                padded.resize(padded.len().next_multiple_of(CHUNK_BYTES), 0);
            }
            let at = (first_row + i * PIECE_BYTES.div_ceil(row_bytes)) * stride;
            gpu.guarded(|| gpu.queue().write_buffer(buffer, at as u64, &padded))?;
            gpu.flush()?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Matrix> {
        let rows: Vec<_> = (0..self.buffers.len()).map(|i| self.rows_of(i) as u32).collect();
        let (gpu, buffer_rows, band) = (self.gpu, self.buffer_rows, self.band as u32);
        let split = Split::of(self.format);
        let chunk_bytes = (split.blocks(self.cols) * split.chunk_bytes()) as u64;
        let shards = self.buffers.into_iter().zip(rows).enumerate().map(|(i, (buffer, rows))| {
            let (blocks, bytes) = if gpu.prefers_texels() {
                let (texels, bytes) =
                    gpu.texels(&buffer, chunk_bytes * u64::from(rows.next_multiple_of(band)))?;
                (Blocks::Texels(texels), bytes)
            } else {
                let bytes = buffer.size();
                (Blocks::Buffer(buffer), bytes)
            };
            Ok(Shard {
                blocks,
                bytes,
                first_row: (i * buffer_rows) as u32,
                rows,
                band,
                row_sizes: Arc::default(),
            })
        });
        Ok(Matrix {
            format: self.format,
            rows: self.rows as u32,
            cols: self.cols as u32,
            shards: shards.collect::<Result<_>>()?,
        })
    }
}

/// How blocks lie in a buffer.
struct Place {
    row_blocks: u64,
    blocks: u64,
    band: u64,
}

impl Place {
    /// The blocks among which those from `first` on are, counted row by row: just these, or whole bands.
    fn around(&self, first: u64, count: u64) -> Range<u64> {
        if self.band == 1 {
            return first..first + count;
        }
        let of_band = self.band * self.row_blocks;
        first / of_band * of_band..(first + count).next_multiple_of(of_band)
    }
}

/// Writes `bytes`, blocks of `format` of which the first is, counted row by row, block `first` of `matrix`; waits for it, so that the next needs no more memory.
fn fill(
    gpu: &Gpu,
    format: Format,
    matrix: &wgpu::Buffer,
    place: &Place,
    first: u64,
    bytes: &[u8],
) -> Result<()> {
    let split = Split::of(format);
    let piece_blocks = PIECE_BYTES / split.block_bytes;
    let source_bytes = (piece_blocks * split.block_bytes).min(bytes.len()).next_multiple_of(4) as u64;
    let source = gpu.buffer(source_bytes, BufferUsages::STORAGE | BufferUsages::COPY_DST)?;
    let bindings = in_order([Access::Read, Access::ReadWrite]);
    let pipeline = gpu.pipeline(NAME, &bindings, Arithmetic::Exact, |_| wgsl())?;
    let mut block = first;
    for piece in bytes.chunks(piece_blocks * split.block_bytes) {
        let count = (piece.len() / split.block_bytes) as u64;
        let steps = split.fields.iter().map(|field| {
            let around = place.around(block, count);
            let at = place.blocks * field.start as u64 + around.start * field.bytes as u64;
            // A word may hold the end of one piece and the start of the next.
            let skip = at % 4;
            let words = (skip + (around.end - around.start) * field.bytes as u64).div_ceil(4);
            let params = [
                count as u32,
                split.block_bytes as u32,
                field.from as u32,
                field.bytes as u32,
                (at / 4) as u32,
                skip as u32,
                around.start as u32,
                block as u32,
                place.row_blocks as u32,
                place.band as u32,
            ];
            let bound = in_order([whole("the blocks", &source), whole("the matrix", matrix)]);
            gpu.bind(pipeline.clone(), Dispatch::of(words), &params, &bound)
        });
        let op = Op { steps: steps.collect::<Result<_>>()? };
        let submission = gpu.guarded(|| {
            if piece.len().is_multiple_of(4) {
                gpu.queue().write_buffer(&source, 0, piece);
            } else {
                let mut padded = piece.to_vec();
                padded.resize(piece.len().next_multiple_of(4), 0);
                gpu.queue().write_buffer(&source, 0, &padded);
            }
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            op.record(&mut encoder);
            gpu.queue().submit([encoder.finish()])
        })?;
        gpu.wait(submission)?;
        block += count;
    }
    Ok(())
}
