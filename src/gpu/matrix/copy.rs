//! Copies on the device: rows of bytes, and fields of blocks into the layout of a matrix.

use crate::Result;
use crate::gpu::Gpu;
use crate::gpu::convert::converter::CHUNK_BYTES;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::{Dispatch, Step};
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::library::preprocess;
use crate::gpu::shader::params::params;
use crate::gpu::shader::pipeline::Arithmetic;
use std::num::NonZeroU64;
use wgpu::BufferBinding;

const SCATTER_FIELDS: &str = "scatter_fields";
const COPY_ROWS: &str = "copy_rows";

/// The source, and the destination of each kernel.
const SOURCE: Binding = Binding::new(1, "source");
const COPY: Binding = Binding::new(2, "result");
const MATRIX: Binding = Binding::new(2, "matrix");

params! {
    /// For copying rows.
    CopyRowsParams in "matrix/copy_rows.wgsl" {
        /// The first word to write.
        first,
        /// Words from one row of the result to the next.
        row_words,
        /// Bytes of a row of the source.
        row_bytes,
        /// The offset of the bound range in the source, in bytes from row 0; wraps around if negative.
        base,
    }
}

params! {
    /// For copying one field of blocks into a matrix.
    ScatterFieldsParams in "matrix/scatter_fields.wgsl" {
        /// Blocks in the source.
        blocks,
        /// Bytes from one block of the source to the next.
        stride,
        /// The offset of the field in a block, in bytes.
        offset,
        /// Bytes of the field in a block.
        bytes,
        /// The first word to write.
        first,
        /// Bytes of that word that belong to earlier blocks.
        skip,
        /// The matrix's block whose field starts there.
        matrix_block,
        /// The index of the source's first block, counted row by row in the matrix.
        source_block,
        /// Blocks in a row of the matrix.
        row_blocks,
        /// How many rows are interleaved block by block.
        interleaved_rows,
    }
}

fn scatter_fields_wgsl() -> Result<String, String> {
    preprocess("matrix/scatter_fields.wgsl", &[])
}

fn copy_rows_wgsl() -> Result<String, String> {
    preprocess("matrix/copy_rows.wgsl", &[])
}

/// The shaders of this file, by name.
pub(in crate::gpu) fn texts() -> impl Iterator<Item = (&'static str, Result<String, String>)> {
    [(SCATTER_FIELDS, scatter_fields_wgsl()), (COPY_ROWS, copy_rows_wgsl())].into_iter()
}

/// The source of a copy on the device.
#[derive(Clone, Debug)]
pub(in crate::gpu) struct Source<'a> {
    pub(in crate::gpu) name: &'static str,
    pub(in crate::gpu) buffer: &'a wgpu::Buffer,
    /// The offset of the first byte.
    pub(in crate::gpu) offset: u64,
    /// Bytes from one block to the next; for float formats, the bytes of a weight.
    pub(in crate::gpu) stride: u64,
}

impl<'a> Source<'a> {
    /// The range to bind for `bytes` bytes, aligned as the device requires, and how many bytes of it come
    /// before them.
    pub(super) fn bound(&self, gpu: &Gpu, bytes: u64) -> (Range<'a>, u64) {
        let alignment = u64::from(gpu.device().limits().min_storage_buffer_offset_alignment);
        let offset = self.offset / alignment * alignment;
        let skip = self.offset - offset;
        let bytes = (skip + bytes).next_multiple_of(4);
        let binding = BufferBinding { buffer: self.buffer, offset, size: NonZeroU64::new(bytes) };
        (Range::new(self.name, &binding, bytes), skip)
    }
}

/// Bytes of a row in the source, and words from one row to the next in the destination.
pub(in crate::gpu) struct RowShape {
    pub(in crate::gpu) bytes: u64,
    pub(in crate::gpu) words: u64,
}

impl Gpu {
    /// Bytes of a chunk, small enough to be bound from any offset.
    pub(in crate::gpu) fn chunk_bytes(&self) -> usize {
        (CHUNK_BYTES as u64).min(self.max_binding_bytes().saturating_sub(256)) as usize
    }

    /// Prepares copying `source`, consecutive rows, to `words` of `result`, counted from the start of row 0.
    /// The source starts at byte `first_byte` of the rows.
    pub(in crate::gpu) fn prepare_copy_rows(
        &self,
        source: &Source,
        first_byte: u64,
        bytes: u64,
        shape: &RowShape,
        result: &wgpu::Buffer,
        words: std::ops::Range<u64>,
    ) -> Result<Step> {
        let (source, skip) = source.bound(self, bytes);
        let bindings = Bindings::new().read(SOURCE, &source).write(COPY, &Range::whole("the copy", result));
        let params = CopyRowsParams {
            first: words.start as u32,
            row_words: shape.words as u32,
            row_bytes: shape.bytes as u32,
            base: (first_byte as u32).wrapping_sub(skip as u32),
        };
        let dispatch = Dispatch::of(words.end - words.start);
        self.prepare_step((COPY_ROWS, Arithmetic::Exact), |_| copy_rows_wgsl(), dispatch, &params, &bindings)
    }

    /// Prepares copying one field of a source's blocks into `words` words of a matrix.
    pub(super) fn prepare_scatter_field(
        &self,
        source: &Range,
        matrix: &wgpu::Buffer,
        words: u64,
        params: &ScatterFieldsParams,
    ) -> Result<Step> {
        let matrix = Range::whole("the matrix", matrix);
        let bindings = Bindings::new().read(SOURCE, source).write(MATRIX, &matrix);
        let program = (SCATTER_FIELDS, Arithmetic::Exact);
        self.prepare_step(program, |_| scatter_fields_wgsl(), Dispatch::of(words), params, &bindings)
    }
}
