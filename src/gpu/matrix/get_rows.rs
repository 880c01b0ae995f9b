//! Decodes rows of a matrix on the device: the look-up of embeddings.

use super::layout::interleaved_rows;
use super::program::{MatrixProgram, Work};
use super::{FLOAT_AND_QUANTIZED, Matrix};
use crate::cpu::{self, Float};
use crate::gpu::Gpu;
use crate::gpu::device::wait::Wait;
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::params::WORKGROUP;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;
use crate::{FORMATS, Format, Result};
use wgpu::BufferBinding;

/// The rows to look up, and the decoded rows.
const ROW_IDS: Binding = Binding::new(3, "row_ids");
const RESULT: Binding = Binding::new(4, "result");

fn program(format: Format, is_ragged: bool) -> MatrixProgram {
    let program = MatrixProgram::new("matrix/get_rows.wgsl", format, WORKGROUP);
    program.with(Switch::Dequantize).named_if(is_ragged, Switch::Ragged, "ragged")
}

/// All programs.
pub(in crate::gpu) fn programs() -> impl Iterator<Item = MatrixProgram> {
    FORMATS.iter().flat_map(|info| {
        let format = info.format;
        let is_ragged = [false, true].into_iter().filter(move |is_ragged| !is_ragged || format.is_float());
        let of_each = is_ragged.map(move |is_ragged| program(format, is_ragged));
        let in_textures = || program(format, false).reading_textures(interleaved_rows(format));
        of_each.chain(FLOAT_AND_QUANTIZED.contains(&format).then(in_textures))
    })
}

impl Gpu {
    /// Prepares decoding `count` rows of `matrix`. `numbers` holds their indices, as u32 counted from 0.
    ///
    /// `result` receives `count` rows of [`Matrix::cols`] f32. The bits equal those of [`cpu::dequantize`],
    /// except that one NaN may replace another. For an index out of range, the row of `result` is left
    /// unchanged. Both are ranges of buffers with usage `STORAGE`, which must not overlap.
    ///
    /// Compiles kernels on first use. Fails with [`Error::Number`](crate::Error::Number) if `count` is 0,
    /// with [`Error::OtherDevice`](crate::Error::OtherDevice), with
    /// [`Error::ShortRange`](crate::Error::ShortRange), [`Error::Misaligned`](crate::Error::Misaligned) and
    /// [`Error::Usage`](crate::Error::Usage) for an unsuitable range, and with errors of the device.
    pub fn prepare_get_rows(
        &self,
        matrix: &Matrix,
        numbers: &BufferBinding,
        result: &BufferBinding,
        count: usize,
    ) -> Result<Op> {
        matrix.check_device(self)?;
        cpu::check_positive("the count of rows", count)?;
        let row_ids = Range::new("the row numbers", numbers, 4 * count as u64);
        let result = Range::new("the rows", result, 4 * (count * matrix.cols()) as u64);
        let bindings = Bindings::new().read(ROW_IDS, &row_ids).write(RESULT, &result);
        let program = program(matrix.format(), matrix.is_ragged());
        let dispatch = Dispatch::of(count as u64 * matrix.row_quads());
        self.prepare_with_matrix(&program, matrix, &bindings, Arithmetic::Exact, |_| {
            Work::new(dispatch, count, matrix.rows())
        })
    }

    /// Decodes the rows with the indices `numbers` into `result`, through buffers of its own, and waits for
    /// the result.
    ///
    /// `result` holds a row of [`Matrix::cols`] f32, f16 or bf16 for each index. Fails with
    /// [`Error::Number`](crate::Error::Number) if an index is out of range or the lengths do not match, and
    /// with errors of the device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn get_rows<W: Float>(&self, matrix: &Matrix, numbers: &[u32], result: &mut [W]) -> Result<()> {
        pollster::block_on(self.get_rows_as(Wait::Blocking, matrix, numbers, result))
    }

    /// The `async` form of [`Gpu::get_rows`]. It does not block: polling and compiling happen in other
    /// threads.
    pub async fn get_rows_async<W: Float>(
        &self,
        matrix: &Matrix,
        numbers: &[u32],
        result: &mut [W],
    ) -> Result<()> {
        self.get_rows_as(Wait::Async, matrix, numbers, result).await
    }

    async fn get_rows_as<W: Float>(
        &self,
        wait: Wait,
        matrix: &Matrix,
        numbers: &[u32],
        result: &mut [W],
    ) -> Result<()> {
        cpu::check_rows(matrix.rows(), matrix.cols(), numbers, result)?;
        let mut room = Vec::new();
        let prepare = |gpu: &Gpu, numbers_range: &BufferBinding, result: &BufferBinding| {
            gpu.prepare_get_rows(matrix, numbers_range, result, numbers.len())
        };
        self.run_on_slices(wait, numbers, W::wide_mut(result, &mut room), prepare).await?;
        W::store(result, &room);
        Ok(())
    }
}
