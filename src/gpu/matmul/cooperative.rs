//! The tiled kernel for many int8 vectors that uses a GPU's matrix units, by cooperative matrices of f16:
//! `shaders/matmul/matmul_cooperative.wgsl`.

use super::EXAMPLES;
use super::matrix_units::MatrixUnits;
use crate::Format;
use crate::gpu::matrix::program::MatrixProgram;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::switch::Switch;

/// Columns of two steps, which alternate in workgroup memory.
const TWO_STEPS: usize = 128;

/// The kernel and its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cooperative {
    pub(super) units: MatrixUnits,
    /// Slices that the columns are split into, each for its own workgroups.
    pub(super) split_k: usize,
}

impl Cooperative {
    /// The program for a format.
    pub(super) fn program(self, format: Format, has_bias: bool) -> MatrixProgram {
        let Self { units, split_k } = self;
        MatrixProgram::new("matmul/matmul_cooperative.wgsl", format, units.workgroup)
            .with(Switch::Codes)
            .with(Switch::Int8)
            .named_if(units.side == 8, Switch::Side8, "side8")
            .named_if(units.quads, Switch::Quads, "quads")
            .named_if(has_bias, Switch::Bias, "bias")
            .named_if(split_k > 1, Switch::SplitK, "split_k")
            .constant("SUBGROUPS_BESIDE", units.subgroups_beside)
            .constant("ITEMS", units.items())
    }

    /// The dispatch for `rows` rows and `batch` vectors.
    pub(super) fn dispatch(self, rows: usize, batch: usize) -> Dispatch {
        let tile = self.units.tile();
        let depth = (batch.div_ceil(tile) * self.split_k) as u64;
        Dispatch { depth, ..Dispatch::of_groups(rows.div_ceil(tile) as u64) }
    }

    /// The most additions between one weight's product and the result, for rows of `cols` weights.
    pub(super) fn longest_path(self, cols: usize) -> usize {
        TWO_STEPS * cols.div_ceil(TWO_STEPS).div_ceil(self.split_k) + self.split_k - 1
    }
}

/// Programs for compilers of other platforms: formats of each kind, for the matrix units of NVIDIA, AMD and
/// Apple.
pub(in crate::gpu) fn programs() -> impl Iterator<Item = MatrixProgram> {
    let units = MatrixUnits::examples();
    let kernels = units.into_iter().map(|units| Cooperative { units, split_k: 1 });
    let kernels = kernels.chain([Cooperative { units: units[0], split_k: 4 }]);
    kernels.flat_map(|kernel| {
        let formats = EXAMPLES.into_iter().filter(|format| !format.is_float());
        formats.map(move |format| kernel.program(format, false))
    })
}
