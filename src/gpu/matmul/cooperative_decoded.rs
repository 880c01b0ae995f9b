//! The tiled kernel for many int8 vectors that uses a GPU's matrix units on weights that are decoded to f16
//! before: `shaders/matmul/matmul_cooperative_decoded.wgsl`. Weights are decoded a range of rows at a time
//! ([`super::f16_weights`]), so that they take a bounded memory.

use super::decoded_tile::{DecodedTile, STEP};
use super::matrix_units::MatrixUnits;
use super::scratch::Scratch;
use super::{BIAS, ROW_SCALES, X, X_SCALES, Y, f16_activations, f16_weights};
use crate::Result;
use crate::gpu::Gpu;
use crate::gpu::matmul::activations::Activations;
use crate::gpu::matrix::program::MatrixProgram;
use crate::gpu::matrix::{Matrix, Shard};
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::library;
use crate::gpu::shader::params::params;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;

const FILE: &str = "matmul/matmul_cooperative_decoded.wgsl";

/// The decoded weights.
const WEIGHTS: Binding = Binding::new(1, "weights");

params! {
    /// For multiplying decoded rows.
    DecodedParams in "matmul/matmul_cooperative_decoded.wgsl" {
        /// Decoded rows.
        rows,
        /// The first of them among the rows of the shard.
        start_row,
        /// Its row of the result.
        first_row,
        /// Rows of the result.
        all_rows,
        /// Weights in a row.
        cols,
        /// The number of vectors.
        batch,
        /// Slices that the columns are split into.
        split_k,
    }
}

/// The kernel and its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CooperativeDecoded {
    pub(super) tile: DecodedTile,
    /// Slices that the columns are split into, each for its own workgroups.
    pub(super) split_k: usize,
}

impl CooperativeDecoded {
    fn name(self, has_bias: bool) -> String {
        let Self { tile: DecodedTile { units, matrices_beside }, split_k } = self;
        let parts = [
            (units.side == 8, "side8"),
            (units.quads, "quads"),
            (units.surplus, "surplus"),
            (has_bias, "bias"),
            (split_k > 1, "split_k"),
        ];
        let parts = parts.into_iter().filter(|(is_on, _)| *is_on).map(|(_, part)| format!(".{part}"));
        let parts: String = parts.collect();
        let items = self.tile.items();
        format!("{}{parts}.matrices_beside{matrices_beside}.items{items}", library::kernel_name(FILE))
    }

    fn wgsl(self, has_bias: bool) -> Result<String, String> {
        let Self { tile: DecodedTile { units, matrices_beside }, split_k } = self;
        let optional = [
            (Switch::Side8, units.side == 8),
            (Switch::Quads, units.quads),
            (Switch::SurplusSubgroups, units.surplus),
            (Switch::Bias, has_bias),
            (Switch::SplitK, split_k > 1),
        ];
        let switches: Vec<_> = Switch::on(optional).collect();
        let constants = [
            ("WORKGROUP", self.tile.workgroup() as usize),
            ("MATRICES_BESIDE", matrices_beside),
            ("ITEMS", self.tile.items()),
        ];
        library::files(&switches, &constants).preprocess(FILE).map_err(|error| error.to_string())
    }

    /// The dispatch for `rows` rows and `batch` vectors.
    pub(super) fn dispatch(self, rows: usize, batch: usize) -> Dispatch {
        let tile = self.tile.side();
        let depth = (batch.div_ceil(tile) * self.split_k) as u64;
        Dispatch { depth, ..Dispatch::of_groups(rows.div_ceil(tile) as u64) }
    }

    /// The most additions between one weight's product and the result, for rows of `cols` weights.
    pub(super) fn longest_path(self, cols: usize) -> usize {
        STEP * cols.div_ceil(STEP).div_ceil(self.split_k) + self.split_k - 1
    }
}

/// Shaders for compilers of other platforms: for the matrix units of NVIDIA, AMD and Apple.
pub(in crate::gpu) fn texts() -> impl Iterator<Item = (String, Result<String, String>)> {
    let [nvidia, amd, apple] = MatrixUnits::examples();
    let kernel = |(units, matrices_beside, split_k)| CooperativeDecoded {
        tile: DecodedTile { units, matrices_beside },
        split_k,
    };
    let kernels = [(nvidia, 4, 1), (nvidia, 2, 1), (nvidia, 4, 4), (amd, 4, 1), (amd, 2, 1), (apple, 4, 1)];
    kernels.map(kernel).into_iter().map(|kernel| (kernel.name(false), kernel.wgsl(false)))
}

impl Gpu {
    /// Prepares converting the vectors to f16, and for each range of rows, decoding it by `decode` and the
    /// product.
    pub(super) fn prepare_decoded(
        &self,
        kernel: CooperativeDecoded,
        decode: &MatrixProgram,
        matrix: &Matrix,
        x: &Activations,
        bias: Option<&Range>,
        y: &Range,
    ) -> Result<Op> {
        let scratch = self.scratch(Scratch::F16Activations, f16_activations::bytes(x.cols(), x.batch()))?;
        let f16s = Range::whole("the vectors as f16", &scratch);
        let mut op = self.prepare_f16_activations(x, &f16s)?;
        let largest = matrix.shards.iter().map(|shard| shard.rows as usize).max().unwrap_or(0);
        let range_rows = f16_weights::rows_at_once(self, matrix.cols(), kernel.tile.side()).min(largest);
        let weights = self.scratch(Scratch::F16Weights, f16_weights::bytes(range_rows, matrix.cols()))?;
        let weights = Range::whole("the weights as f16", &weights);
        for shard in &matrix.shards {
            let row_scales = self.row_scales(matrix, shard)?;
            let row_scales = Range::whole("the row scales", &row_scales);
            for start in (0..shard.rows as usize).step_by(range_rows) {
                let rows = range_rows.min(shard.rows as usize - start);
                let step =
                    self.prepare_f16_weights(decode, matrix, shard, (start, rows), &row_scales, &weights)?;
                op = op.then(Op::new([step]));
                let bindings = Bindings::new()
                    .read(WEIGHTS, &weights)
                    .read(X, &f16s)
                    .write(Y, y)
                    .read_optional(BIAS, bias)
                    .read(ROW_SCALES, &row_scales)
                    .read(X_SCALES, &f16s);
                let params = params_of(kernel, matrix, shard, (start, rows), x.batch());
                let program = (&*kernel.name(bias.is_some()), Arithmetic::Loose);
                let wgsl = |_| kernel.wgsl(bias.is_some());
                let dispatch = kernel.dispatch(rows, x.batch());
                op = op.then(Op::new([self.prepare_step(program, wgsl, dispatch, &params, &bindings)?]));
            }
        }
        Ok(op)
    }
}

fn params_of(
    kernel: CooperativeDecoded,
    matrix: &Matrix,
    shard: &Shard,
    (start, rows): (usize, usize),
    batch: usize,
) -> DecodedParams {
    DecodedParams {
        rows: rows as u32,
        start_row: start as u32,
        first_row: shard.first_row + start as u32,
        all_rows: matrix.rows() as u32,
        cols: matrix.cols() as u32,
        batch: batch as u32,
        split_k: kernel.split_k as u32,
    }
}
