//! Weights as f16, for the matrix units: `shaders/matmul/f16_weights.wgsl` decodes a range of rows.

use super::ROW_SCALES;
use crate::gpu::Gpu;
use crate::gpu::matrix::program::{MatrixProgram, Work};
use crate::gpu::matrix::{Matrix, Shard};
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::{Dispatch, Step};
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::params::WORKGROUP;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;
use crate::{FORMATS, Format, Result};

/// The most bytes of decoded weights: all tiles of a large GPU have rows, and scratch memory stays small
/// beside a model.
const MOST_BYTES: u64 = 64 << 20;
/// Weights that an invocation decodes.
const LANE_WEIGHTS: usize = 16;

const F16S: Binding = Binding::new(4, "f16s");

/// The programs, one for each format.
pub(in crate::gpu) fn programs() -> impl Iterator<Item = MatrixProgram> {
    FORMATS.iter().map(|info| info.format).filter(|format| !format.is_float()).map(program)
}

/// The program that decodes rows of a format.
pub(super) fn program(format: Format) -> MatrixProgram {
    MatrixProgram::new("matmul/f16_weights.wgsl", format, WORKGROUP).with(Switch::Codes).with(Switch::Int8)
}

/// Bytes of `rows` rows of `cols` weights as f16.
pub(super) fn bytes(rows: usize, cols: usize) -> u64 {
    2 * (rows * cols) as u64
}

/// Rows of `cols` weights that are decoded together: whole tiles, if one fits.
pub(super) fn rows_at_once(gpu: &Gpu, cols: usize, tile: usize) -> usize {
    let rows = (MOST_BYTES.min(gpu.max_binding_bytes()) / bytes(1, cols)).max(1) as usize;
    if rows > tile { rows / tile * tile } else { rows }
}

impl Gpu {
    /// Prepares decoding the rows `start`.. of a shard by `program`.
    pub(super) fn prepare_f16_weights(
        &self,
        program: &MatrixProgram,
        matrix: &Matrix,
        shard: &Shard,
        (start, rows): (usize, usize),
        row_scales: &Range,
        f16s: &Range,
    ) -> Result<Step> {
        let bindings = Bindings::new().write(F16S, f16s).read(ROW_SCALES, row_scales);
        let dispatch = Dispatch::of((rows * matrix.cols() / LANE_WEIGHTS) as u64);
        let work = Work { start_row: start, ..Work::new(dispatch, rows, matrix.rows()) };
        self.prepare_with_shard(program, matrix, shard, &bindings, Arithmetic::Loose, &work)
    }
}
