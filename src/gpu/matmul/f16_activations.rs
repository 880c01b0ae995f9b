//! The operands of matrix units: vectors as f16, and the powers of two that scale vectors and rows into the
//! range of f16.

use super::X;
use super::activations::Activations;
use crate::gpu::Gpu;
use crate::gpu::matrix::layout::VEC4_BYTES;
use crate::gpu::matrix::program::{MatrixProgram, Work};
use crate::gpu::matrix::{Matrix, Shard};
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::library::preprocess;
use crate::gpu::shader::params::{WORKGROUP, params};
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;
use crate::{FORMATS, Format, Result};
use wgpu::BufferUsages;

const NAME: &str = "f16_activations";
/// Rows whose scales one workgroup computes.
const ROWS_AT_ONCE: usize = 8;

/// The vectors as f16, and the scales of rows.
const F16S: Binding = Binding::new(4, "f16s");
const ROW_SCALES: Binding = Binding::new(4, "row_scales");

params! {
    /// For converting vectors to f16.
    F16ActivationsParams in "matmul/f16_activations.wgsl" {
        /// The length of a vector.
        cols,
        /// The number of vectors.
        batch,
    }
}

fn wgsl() -> Result<String, String> {
    preprocess("matmul/f16_activations.wgsl", &[Switch::Int8])
}

/// The shader that converts vectors, by name.
pub(in crate::gpu) fn texts() -> impl Iterator<Item = (&'static str, Result<String, String>)> {
    std::iter::once((NAME, wgsl()))
}

/// The programs that compute row scales, one for each format.
pub(in crate::gpu) fn programs() -> impl Iterator<Item = MatrixProgram> {
    let formats = FORMATS.iter().map(|info| info.format).filter(|format| !format.is_float());
    formats.map(row_scales)
}

fn row_scales(format: Format) -> MatrixProgram {
    MatrixProgram::new("matmul/row_scales.wgsl", format, WORKGROUP)
        .with(Switch::Codes)
        .with(Switch::Int8)
        .constant("ROWS_AT_ONCE", ROWS_AT_ONCE)
}

/// Bytes of `batch` vectors of `cols` numbers as f16, and of their scales.
pub(super) fn bytes(cols: usize, batch: usize) -> u64 {
    (batch * (cols * 2 + VEC4_BYTES)) as u64
}

impl Gpu {
    /// Prepares converting int8 vectors to f16.
    pub(super) fn prepare_f16_activations(&self, x: &Activations, f16s: &Range) -> Result<Op> {
        let bindings = Bindings::new().read(X, &x.range(true)).write(F16S, f16s);
        let params = F16ActivationsParams { cols: x.cols() as u32, batch: x.batch() as u32 };
        let dispatch = Dispatch::of_groups(x.batch() as u64);
        let program = (NAME, Arithmetic::Loose);
        Ok(Op::new([self.prepare_step(program, |_| wgsl(), dispatch, &params, &bindings)?]))
    }

    /// The scale of each row of a shard: the bits of an upper bound of its largest magnitude. Computed on
    /// first use and kept with the shard.
    pub(super) fn row_scales(&self, matrix: &Matrix, shard: &Shard) -> Result<wgpu::Buffer> {
        if let Some(known) = shard.row_scales.get() {
            return Ok(known.clone());
        }
        let scales = self.buffer(4 * u64::from(shard.rows), BufferUsages::STORAGE)?;
        let program = self.with_native_f16(row_scales(matrix.format()));
        let bindings = Bindings::new().write(ROW_SCALES, &Range::whole("the row scales", &scales));
        let groups = (shard.rows as usize).div_ceil(ROWS_AT_ONCE) as u64;
        let work = Work::new(Dispatch::of_groups(groups), 1, matrix.rows());
        let step = self.prepare_with_shard(&program, matrix, shard, &bindings, Arithmetic::Loose, &work)?;
        self.guarded(|| {
            self.submit(|encoder| Op::new([step]).record(encoder));
        })?;
        Ok(shard.row_scales.get_or_init(|| scales).clone())
    }
}
