//! Creates matrices: from a file's blocks, from weights to quantize, from a buffer.

use super::copy::Source;
use super::layout::VEC4_BYTES;
use super::quantize::{Load, MatrixQuantizer};
use super::quantize_options::{Check, QuantizeOptions, check_finite};
use super::upload::Upload;
use super::{Matrix, Shard, Storage};
#[cfg(doc)]
use crate::Error;
use crate::cpu::{self, Float};
use crate::gpu::Gpu;
use crate::gpu::device::wait::Wait;
use crate::gpu::op::range::Range;
use crate::{Format, Result};
use std::sync::Arc;
use wgpu::{BufferBinding, BufferUsages};

impl Matrix {
    /// Copies `rows` rows of `cols` weights to the device. `bytes` holds their blocks as in a file.
    ///
    /// A kernel rearranges the blocks for products. This takes 32 MiB of device memory beside the matrix, on
    /// llvmpipe as much as the matrix again. Returns when the copy is done. Fails with [`Error::Number`] if
    /// `rows` or `cols` is 0 or above 2³² - 1, or a row is longer than the device can bind; with
    /// [`Error::RowLength`] and [`Error::Length`] if `bytes` is not that many whole blocks; and with
    /// [`Error::DeviceMemory`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(gpu: &Gpu, format: Format, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self> {
        Self::stacked(gpu, format, cols, &[(rows, bytes)])
    }

    /// The `async` form of [`Matrix::new`].
    pub async fn new_async(
        gpu: &Gpu,
        format: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<Self> {
        Self::stacked_async(gpu, format, cols, &[(rows, bytes)]).await
    }

    /// Stacks the rows of several matrices of one format and width into one matrix, so that one product
    /// covers all: gate and up, or query, key and value.
    ///
    /// Each of `parts` is a number of rows and their blocks. Fails as [`Matrix::new`] does.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn stacked(gpu: &Gpu, format: Format, cols: usize, parts: &[(usize, &[u8])]) -> Result<Self> {
        pollster::block_on(Self::stacked_as(Wait::Blocking, gpu, format, cols, parts))
    }

    /// The `async` form of [`Matrix::stacked`].
    pub async fn stacked_async(
        gpu: &Gpu,
        format: Format,
        cols: usize,
        parts: &[(usize, &[u8])],
    ) -> Result<Self> {
        Self::stacked_as(Wait::Async, gpu, format, cols, parts).await
    }

    async fn stacked_as(
        wait: Wait,
        gpu: &Gpu,
        format: Format,
        cols: usize,
        parts: &[(usize, &[u8])],
    ) -> Result<Self> {
        for (rows, bytes) in parts {
            cpu::check_matrix(format, *rows, cols, bytes.len())?;
        }
        let mut upload = Upload::new(gpu, wait, format, parts.iter().map(|(rows, _)| rows).sum(), cols)?;
        let mut first_row = 0;
        for (rows, bytes) in parts {
            upload.upload(first_row, bytes).await?;
            first_row += rows;
        }
        upload.finish().await
    }

    /// Quantizes `rows` rows of `cols` weights on the device. `bytes` holds them in the format `source`. The
    /// blocks equal those of [`cpu::quantize`].
    ///
    /// `options` is a [`QuantizeOptions`], or a [`Format`] for its defaults. Only blocks of unusual magnitude
    /// return to the host, where the CPU encodes them. Takes about 64 MiB of device memory beside the matrix.
    /// Fails as [`Matrix::new`] does, and with [`Error::NotEncoded`] and [`Error::Inexact`] as
    /// [`Gpu::prepare_quantize`] does. Unless the check is [`Check::Nothing`], also fails with
    /// [`Error::NotFinite`] for an infinite or NaN weight, [`Error::BadBlock`] for such a scale in `source`,
    /// and [`Error::Overflow`] for weights that are too large for the format.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn quantized(
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        pollster::block_on(Self::quantized_as(
            Wait::Blocking,
            gpu,
            source,
            rows,
            cols,
            bytes,
            &options.into(),
        ))
    }

    /// The `async` form of [`Matrix::quantized`].
    pub async fn quantized_async(
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        Self::quantized_as(Wait::Async, gpu, source, rows, cols, bytes, &options.into()).await
    }

    async fn quantized_as(
        wait: Wait,
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
        options: &QuantizeOptions,
    ) -> Result<Self> {
        cpu::check_matrix(source, rows, cols, bytes.len())?;
        if source == options.format {
            check_finite(&options.name, source, bytes, 0, cols, options.check)?;
            return Self::stacked_as(wait, gpu, source, cols, &[(rows, bytes)]).await;
        }
        let mut quantizer = MatrixQuantizer::new(gpu, wait, source, rows, cols, options)?;
        let (row_bytes, chunk_rows) = (bytes.len() / rows, quantizer.chunk_rows());
        for (i, chunk) in bytes.chunks(chunk_rows * row_bytes).enumerate() {
            quantizer.chunk(i * chunk_rows, chunk.len() / row_bytes, Load::Host(chunk)).await?;
        }
        quantizer.finish().await
    }

    /// [`Matrix::quantized`] of a slice of f32, f16 or bf16. If the format is that of the slice, the weights
    /// are copied.
    ///
    /// Fails as [`Matrix::quantized`] does.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_weights<W: Float>(
        gpu: &Gpu,
        rows: usize,
        cols: usize,
        weights: &[W],
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        Self::quantized(gpu, W::FORMAT, rows, cols, bytemuck::cast_slice(weights), options)
    }

    /// The `async` form of [`Matrix::from_weights`].
    pub async fn from_weights_async<W: Float>(
        gpu: &Gpu,
        rows: usize,
        cols: usize,
        weights: &[W],
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        Self::quantized_async(gpu, W::FORMAT, rows, cols, bytemuck::cast_slice(weights), options).await
    }

    /// Copies `rows` rows of `cols` weights from a buffer of the device that holds their blocks as in a file.
    /// The weights do not pass through the host.
    ///
    /// `blocks` is a range of a buffer with usage `STORAGE`. It may start at any byte and ends at a multiple
    /// of 4 bytes; bytes after the blocks are ignored. Work submitted before this call is done first. Fails
    /// as [`Matrix::new`] does, and with [`Error::ShortRange`] and [`Error::Usage`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_buffer(
        gpu: &Gpu,
        format: Format,
        rows: usize,
        cols: usize,
        blocks: &BufferBinding<'_>,
    ) -> Result<Self> {
        pollster::block_on(Self::from_buffer_as(Wait::Blocking, gpu, format, rows, cols, blocks))
    }

    /// The `async` form of [`Matrix::from_buffer`].
    pub async fn from_buffer_async(
        gpu: &Gpu,
        format: Format,
        rows: usize,
        cols: usize,
        blocks: &BufferBinding<'_>,
    ) -> Result<Self> {
        Self::from_buffer_as(Wait::Async, gpu, format, rows, cols, blocks).await
    }

    async fn from_buffer_as(
        wait: Wait,
        gpu: &Gpu,
        format: Format,
        rows: usize,
        cols: usize,
        blocks: &BufferBinding<'_>,
    ) -> Result<Self> {
        let source = range_of(format, rows, cols, blocks)?;
        let upload = Upload::new(gpu, wait, format, rows, cols)?;
        let row_bytes = format.bytes_for(cols as u64) as usize;
        let chunk_rows = (gpu.chunk_bytes() / row_bytes).max(1);
        for row in (0..rows).step_by(chunk_rows) {
            let source = Source { offset: source.offset + (row * row_bytes) as u64, ..source.clone() };
            let prepare = |gpu: &Gpu| upload.prepare_copy(gpu, row, chunk_rows.min(rows - row), &source);
            let op = gpu.prepared(wait, prepare).await?;
            let submission = gpu.guarded(|| gpu.submit(|encoder| op.record(encoder)))?;
            gpu.done(wait, submission).await?;
        }
        upload.finish().await
    }

    /// [`Matrix::quantized`] of weights in a buffer of the device, in the format `source` as in a file.
    ///
    /// `weights` is a range as in [`Matrix::from_buffer`]. Fails as both do. If the format stays the same,
    /// only F32, F16 and BF16 weights are checked.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn quantized_from_buffer(
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        weights: &BufferBinding<'_>,
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        let options = options.into();
        pollster::block_on(Self::quantized_from_buffer_as(
            Wait::Blocking,
            gpu,
            source,
            rows,
            cols,
            weights,
            &options,
        ))
    }

    /// The `async` form of [`Matrix::quantized_from_buffer`].
    pub async fn quantized_from_buffer_async(
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        weights: &BufferBinding<'_>,
        options: impl Into<QuantizeOptions>,
    ) -> Result<Self> {
        let options = options.into();
        Self::quantized_from_buffer_as(Wait::Async, gpu, source, rows, cols, weights, &options).await
    }

    async fn quantized_from_buffer_as(
        wait: Wait,
        gpu: &Gpu,
        source: Format,
        rows: usize,
        cols: usize,
        weights: &BufferBinding<'_>,
        options: &QuantizeOptions,
    ) -> Result<Self> {
        if source == options.format && (!source.is_float() || options.check == Check::Nothing) {
            return Self::from_buffer_as(wait, gpu, source, rows, cols, weights).await;
        }
        let range = range_of(source, rows, cols, weights)?;
        let mut quantizer = MatrixQuantizer::new(gpu, wait, source, rows, cols, options)?;
        let (row_bytes, chunk_rows) = (source.bytes_for(cols as u64), quantizer.chunk_rows());
        for row in (0..rows).step_by(chunk_rows) {
            let rows_here = Source { offset: range.offset + row as u64 * row_bytes, ..range.clone() };
            quantizer.chunk(row, chunk_rows.min(rows - row), Load::Device(rows_here)).await?;
        }
        quantizer.finish().await
    }

    /// Creates a matrix with blocks as in a file, of a quantized format, to compare its speed with the layout
    /// of [`Matrix::new`].
    #[doc(hidden)]
    pub fn as_in_file(gpu: &Gpu, format: Format, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self> {
        cpu::check_matrix(format, rows, cols, bytes.len())?;
        let row_bytes = bytes.len() / rows;
        let most = gpu.max_binding_bytes().min(u64::from(u32::MAX)) / 16 * 16;
        let shard_rows = (most as usize / row_bytes).max(1);
        let shards = bytes.chunks(shard_rows * row_bytes).enumerate().map(|(i, rows)| {
            // Kernels read whole vec4s.
            let mut padded = rows.to_vec();
            padded.resize(rows.len().next_multiple_of(VEC4_BYTES), 0);
            let buffer = gpu.buffer_with(&padded, BufferUsages::STORAGE)?;
            let (first_row, rows) = ((i * shard_rows) as u32, (rows.len() / row_bytes) as u32);
            Ok(Shard {
                bytes: buffer.size(),
                storage: Storage::File(buffer),
                first_row,
                rows,
                interleaved_rows: 1,
                row_scales: Arc::default(),
            })
        });
        Ok(Self {
            gpu: gpu.clone(),
            format,
            rows: rows as u32,
            cols: cols as u32,
            shards: shards.collect::<Result<_>>()?,
        })
    }
}

/// The weights of a matrix of this shape in a range of a buffer.
fn range_of<'a>(format: Format, rows: usize, cols: usize, binding: &BufferBinding<'a>) -> Result<Source<'a>> {
    cpu::check_shape(format, rows, cols)?;
    // The bound range starts and ends at whole words.
    let (start, end) = (binding.offset, binding.offset + format.bytes_for(cols as u64) * rows as u64);
    Range::new("the weights", binding, end.next_multiple_of(4) - start).check(1)?;
    let stride = format.info().block_bytes as u64;
    Ok(Source { name: "the weights", buffer: binding.buffer, offset: start, stride })
}
