//! Reads matrices back: the bytes of a file.

use super::layout::interleaved_rows;
use super::program::{MatrixProgram, Work};
use super::{FLOAT_AND_QUANTIZED, Matrix};
use crate::gpu::Gpu;
use crate::gpu::device::wait::Wait;
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range as BufferRange;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::params::WORKGROUP;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;
use crate::{FORMATS, Format, Result, cpu};
use std::ops::Range;
use wgpu::BufferUsages;

/// The bytes of the file.
const RESULT: Binding = Binding::new(4, "result");

fn program(format: Format) -> MatrixProgram {
    let program = MatrixProgram::new("matrix/read_matrix.wgsl", format, WORKGROUP);
    program.with_if(format.is_float(), Switch::Floats)
}

/// All programs.
pub(in crate::gpu) fn programs() -> impl Iterator<Item = MatrixProgram> {
    let in_textures = FLOAT_AND_QUANTIZED
        .into_iter()
        .map(|format| program(format).reading_textures(interleaved_rows(format)));
    FORMATS.iter().map(|info| program(info.format)).chain(in_textures)
}

impl Matrix {
    /// Reads the matrix back: the blocks of all rows, byte for byte as in a file.
    ///
    /// Uses buffers of 16 MiB, or of one row if that is longer, on the device and the host. Fails with errors
    /// of the device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self) -> Result<Vec<u8>> {
        pollster::block_on(self.read_as(Wait::Blocking))
    }

    /// The `async` form of [`Matrix::read`].
    pub async fn read_async(&self) -> Result<Vec<u8>> {
        self.read_as(Wait::Async).await
    }

    async fn read_as(&self, wait: Wait) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.row_bytes() * self.rows()];
        self.read_rows_as(wait, 0..self.rows(), &mut bytes).await?;
        Ok(bytes)
    }

    /// Reads some rows back, as [`Matrix::read`] does.
    ///
    /// Also fails with [`Error::Number`](crate::Error::Number) if the rows are out of range or `bytes` has
    /// the wrong length.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_rows(&self, rows: Range<usize>, bytes: &mut [u8]) -> Result<()> {
        pollster::block_on(self.read_rows_as(Wait::Blocking, rows, bytes))
    }

    /// The `async` form of [`Matrix::read_rows`].
    pub async fn read_rows_async(&self, rows: Range<usize>, bytes: &mut [u8]) -> Result<()> {
        self.read_rows_as(Wait::Async, rows, bytes).await
    }

    async fn read_rows_as(&self, wait: Wait, rows: Range<usize>, bytes: &mut [u8]) -> Result<()> {
        let row_bytes = self.row_bytes();
        if rows.end > self.rows() {
            let (needed, found) = (format!("at most {}", self.rows()), rows.end as u64);
            return Err(crate::Error::Number { what: "the row after the last to read", needed, found });
        }
        cpu::check_length("the number of bytes", rows.len() * row_bytes, bytes.len())?;
        if rows.is_empty() {
            return Ok(());
        }
        let chunk_rows = (self.gpu.chunk_bytes() / row_bytes).max(1);
        let most_bytes = (chunk_rows.min(rows.len()) * row_bytes).next_multiple_of(4) as u64;
        let on_device = self.gpu.buffer(most_bytes, BufferUsages::STORAGE | BufferUsages::COPY_SRC)?;
        let readback = self.gpu.buffer(most_bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        for shard in &self.shards {
            let of_shard = shard.first_row as usize..(shard.first_row + shard.rows) as usize;
            let (start, end) = (rows.start.max(of_shard.start), rows.end.min(of_shard.end));
            for first in (start..end).step_by(chunk_rows) {
                let now = first..end.min(first + chunk_rows);
                let target = &mut bytes[(first - rows.start) * row_bytes..][..now.len() * row_bytes];
                let words = (target.len() as u64).div_ceil(4);
                let bindings = Bindings::new().write(RESULT, &BufferRange::whole("the bytes", &on_device));
                let work = Work {
                    start_row: first - of_shard.start,
                    ..Work::new(Dispatch::of(words), 0, self.rows())
                };
                let gpu = &self.gpu;
                let program = program(self.format);
                let prepare = |gpu: &Gpu| {
                    gpu.prepare_with_shard(&program, self, shard, &bindings, Arithmetic::Exact, &work)
                };
                let step = gpu.prepared(wait, prepare).await?;
                let submission = gpu.guarded(|| {
                    gpu.submit(|encoder| {
                        Op::new([step]).record(encoder);
                        encoder.copy_buffer_to_buffer(&on_device, 0, &readback, 0, 4 * words);
                    })
                })?;
                if target.len().is_multiple_of(4) {
                    gpu.read(wait, &readback, target, Some(submission)).await?;
                } else {
                    let mut padded = vec![0; 4 * words as usize];
                    gpu.read(wait, &readback, &mut padded, Some(submission)).await?;
                    target.copy_from_slice(&padded[..target.len()]);
                }
            }
        }
        Ok(())
    }

    /// Bytes of a row in a file.
    fn row_bytes(&self) -> usize {
        self.format.bytes_for(self.cols.into()) as usize
    }
}
