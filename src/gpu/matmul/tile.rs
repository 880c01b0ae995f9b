//! The kernels that multiply tiles of 64 rows and 64 vectors, or of 128 and 128: `shaders/matmul/matmul.wgsl`
//! and `matmul_large.wgsl`.

use super::EXAMPLES;
use crate::gpu::matrix::FLOAT_AND_QUANTIZED;
use crate::gpu::matrix::program::MatrixProgram;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::switch::Switch;
use crate::{FORMATS, Format};

/// The kernel and its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tile {
    pub(super) int8: bool,
    /// Whether a tile has 128 rows and 128 vectors, which exact vectors can.
    pub(super) is_large: bool,
    /// Slices that the columns are split into, each for its own workgroups.
    pub(super) split_k: usize,
}

impl Tile {
    /// The program for a format.
    pub(super) fn program(self, format: Format, is_ragged: bool, has_bias: bool) -> MatrixProgram {
        let weights = if format.is_float() { Switch::Floats } else { Switch::Codes };
        let (file, workgroup) =
            if self.is_large { ("matmul/matmul_large.wgsl", 256) } else { ("matmul/matmul.wgsl", 128) };
        MatrixProgram::new(file, format, workgroup)
            .with(weights)
            .named_if(is_ragged, Switch::Ragged, "ragged")
            .with_if(self.int8, Switch::Int8)
            .named(if self.int8 { "int8" } else { "exact" })
            .named_if(has_bias, Switch::Bias, "bias")
            .named_if(self.split_k > 1, Switch::SplitK, "split_k")
    }

    /// The dispatch for `rows` rows and `batch` vectors.
    pub(super) fn dispatch(self, rows: usize, batch: usize) -> Dispatch {
        let side = if self.is_large { 128 } else { 64 };
        let depth = (batch.div_ceil(side) * self.split_k) as u64;
        Dispatch { depth, ..Dispatch::of_groups(rows.div_ceil(side) as u64) }
    }

    /// The most additions between one weight's product and the result, for rows of `cols` weights.
    pub(super) fn longest_path(self, cols: usize) -> usize {
        // A step is 32 columns, or 64 with int8.
        let steps = cols.div_ceil(32).div_ceil(self.split_k);
        32 * steps.next_multiple_of(if self.int8 { 2 } else { 1 }) + self.split_k - 1
    }
}

/// Programs for tests and compilers of other platforms: every format with int8, and a few with exact vectors
/// and split-K.
pub(in crate::gpu) fn programs() -> impl Iterator<Item = MatrixProgram> {
    let exact = |is_large, split_k| Tile { int8: false, is_large, split_k };
    let int8 = FORMATS.iter().map(|info| info.format).filter(|format| !format.is_float());
    let int8 =
        int8.map(|format| Tile { int8: true, is_large: false, split_k: 1 }.program(format, false, false));
    let exacts = [(false, 1), (false, 4), (true, 1), (true, 4)];
    let split = exacts.into_iter().flat_map(move |(is_large, split_k)| {
        EXAMPLES.into_iter().map(move |format| exact(is_large, split_k).program(format, false, false))
    });
    let f16 = [false, true].into_iter().flat_map(move |is_large| {
        let program = move |format| exact(is_large, 1).program(format, false, false).reading_f16();
        FLOAT_AND_QUANTIZED.into_iter().map(program)
    });
    int8.chain(split).chain(f16)
}
