//! Copies on the device: rows of bytes, and the fields of blocks into the layout of a matrix.

use crate::Result;
use crate::gpu::Gpu;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::{Dispatch, Step};
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::join::join;
use crate::gpu::shader::params::{WORKGROUP, params};
use crate::gpu::shader::pipeline::Arithmetic;
use std::num::NonZeroU64;
use wgpu::BufferBinding;

/// Bytes that one submission copies or quantizes.
pub(super) const CHUNK_BYTES: usize = 16 << 20;

const SCATTER_FIELDS: &str = "scatter_fields";
const COPY_ROWS: &str = "copy_rows";

/// The bytes to copy, and where they go.
const SOURCE: Binding = Binding::new(1, "source");
const COPY: Binding = Binding::new(2, "result");
const MATRIX: Binding = Binding::new(2, "matrix");

params! {
    /// For the copy of rows.
    CopyRowsParams in "matrix/copy_rows.wgsl" {
        /// The first word to write.
        first,
        /// Words from one row of the result to the next.
        row_words,
        /// Bytes of a row of the source.
        row_bytes,
        /// Where the bound part of the source begins, in bytes after row 0; wraps around where that is before it.
        base,
    }
}

params! {
    /// For one field of blocks on its way into a matrix.
    ScatterFieldsParams in "matrix/scatter_fields.wgsl" {
        /// Blocks in the source.
        blocks,
        /// Bytes from one block of the source to the next.
        stride,
        /// The byte of a block at which the field begins.
        offset,
        /// Bytes of the field in a block.
        bytes,
        /// The first word to write.
        first,
        /// Bytes of that word that belong to blocks before.
        skip,
        /// The matrix's block whose field begins there.
        matrix_block,
        /// The source's first block, counted row by row in the matrix.
        source_block,
        /// Blocks in a row of the matrix.
        row_blocks,
        /// Rows that take turns block by block.
        interleaved_rows,
    }
}

fn scatter_fields_wgsl() -> Result<String, String> {
    join("matrix/scatter_fields.wgsl", &[], &[("WORKGROUP", WORKGROUP as usize)])
}

fn copy_rows_wgsl() -> Result<String, String> {
    join("matrix/copy_rows.wgsl", &[], &[("WORKGROUP", WORKGROUP as usize)])
}

/// Every shader here, by name.
pub(in crate::gpu) fn texts() -> impl Iterator<Item = (&'static str, Result<String, String>)> {
    [(SCATTER_FIELDS, scatter_fields_wgsl()), (COPY_ROWS, copy_rows_wgsl())].into_iter()
}

/// Bytes on the device that something is copied from.
#[derive(Clone, Debug)]
pub(in crate::gpu) struct Source<'a> {
    pub(in crate::gpu) name: &'static str,
    pub(in crate::gpu) buffer: &'a wgpu::Buffer,
    /// Where they begin.
    pub(in crate::gpu) offset: u64,
    /// From one block to the next; of floats, which have none in between, a weight's.
    pub(in crate::gpu) stride: u64,
}

impl<'a> Source<'a> {
    /// What is bound of so many bytes, and bytes before them: a binding begins where the device wants.
    pub(super) fn bound(&self, gpu: &Gpu, bytes: u64) -> (Range<'a>, u64) {
        let alignment = u64::from(gpu.device().limits().min_storage_buffer_offset_alignment);
        let offset = self.offset / alignment * alignment;
        let skip = self.offset - offset;
        let bytes = (skip + bytes).next_multiple_of(4);
        let binding = BufferBinding { buffer: self.buffer, offset, size: NonZeroU64::new(bytes) };
        (Range::new(self.name, &binding, bytes), skip)
    }
}

/// Rows of bytes in a source, and words from one to the next where they are copied to.
pub(in crate::gpu) struct RowShape {
    pub(in crate::gpu) bytes: u64,
    pub(in crate::gpu) words: u64,
}

impl Gpu {
    /// Bytes that are bound at once of what is on its way, wherever they begin.
    pub(in crate::gpu) fn chunk_bytes(&self) -> usize {
        (CHUNK_BYTES as u64).min(self.max_binding_bytes().saturating_sub(256)) as usize
    }

    /// Prepares a copy of `source`, in which rows follow one another, to `words` of `result`, which are
    /// counted from the start of row 0; the source begins at byte `first_byte` of the rows.
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

    /// Prepares the gathering of one field of a source's blocks into `words` words of a matrix.
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
