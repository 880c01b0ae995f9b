//! Rows of quantized weights as floats, on the device: the look-up of embeddings.
use super::Gpu;
use super::kernel::WORKGROUP;
use super::matrix::{Bound, Matrix, Program, Work};
use super::matvec::PLACES;
use super::op::{Dispatch, Op, Range};
use super::pipeline::Arithmetic;
use super::split;
use super::wait::Wait;
use crate::cpu::{self, Float};
use crate::{FORMATS, Format, Result};
use wgpu::BufferBinding;

fn program(format: Format, ragged: bool) -> Program {
    let names = vec!["DEQUANTIZE"];
    Program {
        kernel: "get_rows",
        form: String::new(),
        format,
        ragged,
        native_half: false,
        workgroup: WORKGROUP,
        band: 1,
        names,
        constants: Vec::new(),
    }
}

/// Every program there is.
pub(super) fn programs() -> impl Iterator<Item = Program> {
    FORMATS.iter().flat_map(|info| {
        let raggeds = [false, true].into_iter().filter(|ragged| !ragged || info.format.is_float());
        let of_each = raggeds.map(|ragged| program(info.format, ragged));
        of_each.chain(
            PLACES
                .contains(&info.format)
                .then(|| program(info.format, false).reading_texels(split::band(info.format))),
        )
    })
}

impl Gpu {
    /// Prepares the decoding of `count` rows of `matrix`, whose numbers, u32 counted from 0, are in `numbers`.
    ///
    /// `result` receives `count` rows of [`Matrix::cols`] f32, bit for bit those of
    /// [`cpu::dequantize`], only that any NaN may stand for another. Where a number is that of no
    /// row, its row of `result` stays what it was. Both are ranges of buffers with usage `STORAGE`, which must not overlap.
    ///
    /// Compiles what was not needed before. Fails with [`Error::Number`](crate::Error::Number) where `count`
    /// is 0, with [`Error::OtherDevice`](crate::Error::OtherDevice), with
    /// [`Error::ShortRange`](crate::Error::ShortRange), and with [`Error::Device`](crate::Error::Device)
    /// where a range is not aligned as the device wants or its buffer lacks the usage.
    pub fn prepare_get_rows(
        &self,
        matrix: &Matrix,
        numbers: &BufferBinding,
        result: &BufferBinding,
        count: usize,
    ) -> Result<Op> {
        matrix.check_device(self)?;
        cpu::check_positive("the count of rows", count)?;
        let bound = Bound {
            input: Some(Range::new("the row numbers", numbers, 4 * count as u64)),
            input_is_uniform: false,
            output: Range::new("the rows", result, 4 * (count * matrix.cols()) as u64),
            bias: None,
            numbers: None,
            slots: None,
        };
        let program = program(matrix.format(), matrix.is_ragged());
        self.prepare_with_matrix(&program, matrix, &bound, Arithmetic::Exact, |_| Work {
            dispatch: Dispatch::of(count as u64 * matrix.row_quads()),
            batch: count,
            all_rows: matrix.rows() as u32,
            picks: 1,
            experts: 1,
            spans: 1,
        })
    }

    /// Decodes the rows of these numbers, in buffers of its own; waits for the result.
    ///
    /// `result` has a row of [`Matrix::cols`], f32, f16 or bf16, for each of `numbers`. Fails with
    /// [`Error::Number`](crate::Error::Number) where a number is that of no row or the lengths do not fit,
    /// and with what the device reports.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn get_rows<W: Float>(&self, matrix: &Matrix, numbers: &[u32], result: &mut [W]) -> Result<()> {
        pollster::block_on(self.get_rows_as(Wait::Blocking, matrix, numbers, result))
    }

    /// [`Gpu::get_rows`], to be awaited. Nothing blocks: the device is polled, and what is not compiled yet
    /// is compiled, in threads of their own.
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
        self.run_once(wait, numbers, W::wide_mut(result, &mut room), prepare).await?;
        W::store(result, &room);
        Ok(())
    }
}
