//! Blocks on their way into a matrix, where their fields lie apart: from the host, or from a buffer of the
//! device.

use super::Gpu;
use super::kernel::{Access, WORKGROUP};
use super::matrix::{Blocks, Matrix, Shard, whole};
use super::op::{Dispatch, Op, Range as Bound, Step, in_order};
use super::pipeline::Arithmetic;
use super::shader;
use super::split::{self, CHUNK_BYTES, Split};
use super::wait::Wait;
use crate::{Error, Format, Result, cpu};
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use wgpu::{BufferBinding, BufferUsages};

/// Bytes that are on their way at once.
const PIECE_BYTES: usize = 16 << 20;

pub(super) const NAME: &str = "split";
pub(super) const COPY_ROWS: &str = "copy_rows";

pub(super) fn wgsl() -> Result<String, String> {
    shader::join("kernel/split.wgsl", None, &[], &[("WORKGROUP", WORKGROUP as usize)])
}

pub(super) fn copy_rows_wgsl() -> Result<String, String> {
    shader::join("kernel/copy_rows.wgsl", None, &[], &[("WORKGROUP", WORKGROUP as usize)])
}

/// Bytes on the device that something is copied from.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    pub(super) name: &'static str,
    pub(super) buffer: &'a wgpu::Buffer,
    /// Where they begin.
    pub(super) offset: u64,
    /// From one block to the next; of floats, which have none in between, a weight's.
    pub(super) stride: u64,
}

impl<'a> Source<'a> {
    /// What is bound of so many bytes, and bytes before them: a binding begins where the device wants.
    fn bound(&self, gpu: &Gpu, bytes: u64) -> (Bound<'a>, u64) {
        let alignment = u64::from(gpu.device().limits().min_storage_buffer_offset_alignment);
        let offset = self.offset / alignment * alignment;
        let skip = self.offset - offset;
        let bytes = (skip + bytes).next_multiple_of(4);
        let binding = BufferBinding { buffer: self.buffer, offset, size: NonZeroU64::new(bytes) };
        (Bound::new(self.name, &binding, bytes), skip)
    }
}

/// Rows of bytes in a source, and words from one to the next where they are copied to.
pub(super) struct RowShape {
    pub(super) bytes: u64,
    pub(super) words: u64,
}

impl Gpu {
    /// Bytes that are bound at once of what is on its way, wherever they begin.
    pub(super) fn piece_bytes(&self) -> usize {
        (PIECE_BYTES as u64).min(self.max_binding_bytes().saturating_sub(256)) as usize
    }

    /// Prepares a copy of `source`, in which rows follow one another, to `words` of `result`, which are
    /// counted from the start of row 0; the source begins at byte `first_byte` of the rows.
    pub(super) fn prepare_copy_rows(
        &self,
        source: &Source,
        first_byte: u64,
        bytes: u64,
        shape: &RowShape,
        result: &wgpu::Buffer,
        words: Range<u64>,
    ) -> Result<Step> {
        let bindings = in_order([Access::Read, Access::ReadWrite]);
        let pipeline = self.pipeline(COPY_ROWS, &bindings, Arithmetic::Exact, |_| copy_rows_wgsl())?;
        let (source, skip) = source.bound(self, bytes);
        let base = (first_byte as u32).wrapping_sub(skip as u32);
        let params = [words.start as u32, shape.words as u32, shape.bytes as u32, base];
        let bound = in_order([source, whole("the copy", result)]);
        self.bind(pipeline, Dispatch::of(words.end - words.start), &params, &bound)
    }
}

/// A matrix on its way to the device: buffers with some of the rows each, and at first zero bits.
pub(super) struct Filling<'a> {
    gpu: &'a Gpu,
    wait: Wait,
    format: Format,
    rows: usize,
    cols: usize,
    buffers: Vec<wgpu::Buffer>,
    /// Rows of each buffer but the last.
    buffer_rows: usize,
    /// Rows whose blocks take turns; whole bands of them have a place in a buffer.
    band: usize,
    /// Where blocks of the host come first.
    staging: Option<wgpu::Buffer>,
}

impl<'a> Filling<'a> {
    pub(super) fn new(gpu: &'a Gpu, wait: Wait, format: Format, rows: usize, cols: usize) -> Result<Self> {
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
        let buffers = buffers.collect::<Result<_>>()?;
        Ok(Self { gpu, wait, format, rows, cols, buffers, buffer_rows, band, staging: None })
    }

    /// Fills rows from `first_row` on with a file's blocks.
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

    /// Prepares the filling of `rows` rows from `first_row` on from a buffer of the device, whose rows follow
    /// one another.
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
                let words = (Split::of(self.format).blocks(self.cols) * CHUNK_BYTES / 4) as u64;
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
                steps.extend(self.prepare_split(gpu, buffer, first_block, blocks, &source)?);
            }
            row += now;
        }
        Ok(Op { steps })
    }

    /// Rows of a buffer.
    fn rows_of(&self, buffer: usize) -> usize {
        self.buffer_rows.min(self.rows - buffer * self.buffer_rows)
    }

    /// Fills rows of a buffer; waits for it, so that the next need no more memory.
    async fn upload_floats(&self, buffer: usize, first_row: usize, bytes: &[u8]) -> Result<()> {
        let gpu = self.gpu;
        let row_bytes = self.format.bytes_for(self.cols as u64) as usize;
        let stride = Split::of(self.format).blocks(self.cols) * CHUNK_BYTES;
        for (i, rows) in bytes.chunks(PIECE_BYTES.next_multiple_of(row_bytes)).enumerate() {
            let mut padded = Vec::with_capacity(rows.len() / row_bytes * stride);
            for row in rows.chunks(row_bytes) {
                padded.extend_from_slice(row);
                padded.resize(padded.len().next_multiple_of(CHUNK_BYTES), 0);
            }
            let at = (first_row + i * PIECE_BYTES.div_ceil(row_bytes)) * stride;
            gpu.guarded(|| gpu.queue().write_buffer(&self.buffers[buffer], at as u64, &padded))?;
            gpu.flushed(self.wait).await?;
        }
        Ok(())
    }

    /// The same of formats with blocks.
    async fn upload_blocks(&mut self, buffer: usize, first_row: usize, bytes: &[u8]) -> Result<()> {
        let gpu = self.gpu;
        let info = self.format.info();
        let piece_bytes = PIECE_BYTES / info.block_bytes * info.block_bytes;
        let staging_bytes = piece_bytes.min(bytes.len()).next_multiple_of(4) as u64;
        let staging = match self.staging.take().filter(|staging| staging.size() >= staging_bytes) {
            Some(staging) => staging,
            None => gpu.buffer(staging_bytes, BufferUsages::STORAGE | BufferUsages::COPY_DST)?,
        };
        let stride = info.block_bytes as u64;
        let source = Source { name: "the blocks", buffer: &staging, offset: 0, stride };
        let mut block = (first_row * (self.cols / info.block_weights)) as u64;
        for piece in bytes.chunks(piece_bytes) {
            let count = (piece.len() / info.block_bytes) as u64;
            let prepare = |gpu: &Gpu| self.prepare_split(gpu, buffer, block, count, &source);
            let op = Op { steps: gpu.prepared(self.wait, prepare).await? };
            let submission = gpu.guarded(|| {
                write_padded(gpu, &staging, piece);
                gpu.submit(|encoder| op.record(encoder))
            })?;
            gpu.done(self.wait, submission).await?;
            block += count;
        }
        self.staging = Some(staging);
        Ok(())
    }

    /// A dispatch for each field of `count` blocks, of which the first is, counted row by row, block `first`
    /// of a buffer.
    fn prepare_split(
        &self,
        gpu: &Gpu,
        buffer: usize,
        first: u64,
        count: u64,
        source: &Source,
    ) -> Result<Vec<Step>> {
        let split = Split::of(self.format);
        let row_blocks = split.blocks(self.cols) as u64;
        let rows = self.rows_of(buffer).next_multiple_of(self.band) as u64;
        let block_order = Place { row_blocks, blocks: rows * row_blocks, band: self.band as u64 };
        let bindings = in_order([Access::Read, Access::ReadWrite]);
        let pipeline = gpu.pipeline(NAME, &bindings, Arithmetic::Exact, |_| wgsl())?;
        let (bound, skip) = source.bound(gpu, (count - 1) * source.stride + split.block_bytes as u64);
        let bound = in_order([bound, whole("the matrix", &self.buffers[buffer])]);
        let steps = split.fields.iter().map(|field| {
            let around = block_order.around(first, count);
            let at = block_order.blocks * field.start as u64 + around.start * field.bytes as u64;
            // A word may hold the end of one piece and the start of the next.
            let within = at % 4;
            let words = (within + (around.end - around.start) * field.bytes as u64).div_ceil(4);
            let params = [
                count as u32,
                source.stride as u32,
                field.from as u32 + skip as u32,
                field.bytes as u32,
                (at / 4) as u32,
                within as u32,
                around.start as u32,
                first as u32,
                block_order.row_blocks as u32,
                block_order.band as u32,
            ];
            gpu.bind(pipeline.clone(), Dispatch::of(words), &params, &bound)
        });
        steps.collect()
    }

    pub(super) async fn finish(self) -> Result<Matrix> {
        let rows: Vec<_> = (0..self.buffers.len()).map(|i| self.rows_of(i) as u32).collect();
        let (gpu, buffer_rows, band) = (self.gpu, self.buffer_rows, self.band as u32);
        let split = Split::of(self.format);
        let chunk_bytes = (split.blocks(self.cols) * split.chunk_bytes()) as u64;
        let mut shards = Vec::with_capacity(rows.len());
        for (i, (buffer, rows)) in self.buffers.into_iter().zip(rows).enumerate() {
            let (blocks, bytes) = if gpu.prefers_texels() {
                let chunk_bytes = chunk_bytes * u64::from(rows.next_multiple_of(band));
                let (texels, bytes) = gpu.texels(self.wait, &buffer, chunk_bytes).await?;
                (Blocks::Texels(texels), bytes)
            } else {
                let bytes = buffer.size();
                (Blocks::Buffer(buffer), bytes)
            };
            let first_row = (i * buffer_rows) as u32;
            shards.push(Shard { blocks, bytes, first_row, rows, band, row_sizes: Arc::default() });
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

/// Writes bytes to the start of a buffer, and zeros up to a whole word.
pub(super) fn write_padded(gpu: &Gpu, buffer: &wgpu::Buffer, bytes: &[u8]) {
    if bytes.len().is_multiple_of(4) {
        gpu.queue().write_buffer(buffer, 0, bytes);
    } else {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(4), 0);
        gpu.queue().write_buffer(buffer, 0, &padded);
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
