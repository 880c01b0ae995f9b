//! A variant completed by the product and the device: lanes per row, vectors at once, subgroup sizes, matrix
//! units.

use super::cooperative::Cooperative;
use super::cooperative_decoded::CooperativeDecoded;
use super::decoded_tile::DecodedTile;
use super::f16_weights;
use super::matvec::{ExpertForm, Lanes, Matvec, SubgroupSizes, columns_for, lanes_for};
use super::precision::Precision;
use super::tile::Tile;
use super::variant::{Form, Variant};
use crate::Format;
use crate::gpu::Gpu;
use crate::gpu::matrix::Shard;
use crate::gpu::matrix::program::{MatrixProgram, Work};
use crate::gpu::op::step::Dispatch;

/// A kernel with all its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kernel {
    Matvec(Matvec),
    Tile(Tile),
    Cooperative(Cooperative),
    Decoded(CooperativeDecoded),
}

impl Kernel {
    /// The kernel for vectors of `cols` numbers. The device must have what the variant needs.
    pub(super) fn new(gpu: &Gpu, variant: Variant, format: Format, cols: usize, batch: usize) -> Self {
        let (int8, split_k) = (variant.precision() == Precision::Int8, variant.split_k());
        let (lanes, rows) = match variant.form {
            Form::ThreadPerRow(rows) => (Lanes::ThreadPerRow, rows),
            Form::Shared(rows) => (Lanes::Shared(lanes_for(format, cols)), rows),
            Form::Subgroup(rows) => (Lanes::Subgroup(SubgroupSizes::of(gpu)), rows),
            Form::Tile => return Self::Tile(Tile { int8, is_large: false, split_k }),
            Form::LargeTile => return Self::Tile(Tile { int8, is_large: true, split_k }),
            Form::Cooperative => {
                let units = gpu.matrix_units().expect("only a device with matrix units runs this variant");
                return Self::Cooperative(Cooperative { units, split_k });
            }
            Form::CooperativeDecoded(matrices_beside) => {
                let units = gpu.matrix_units().expect("only a device with matrix units runs this variant");
                return Self::Decoded(CooperativeDecoded {
                    tile: DecodedTile { units, matrices_beside },
                    split_k,
                });
            }
        };
        Self::Matvec(Matvec { int8, lanes, rows, columns: columns_for(batch), split_k })
    }

    /// The program for a format: the one that reads the matrix.
    pub(super) fn program(self, format: Format, is_ragged: bool, has_bias: bool) -> MatrixProgram {
        match self {
            Self::Matvec(kernel) => kernel.program(format, is_ragged, has_bias, ExpertForm::None),
            Self::Tile(kernel) => kernel.program(format, is_ragged, has_bias),
            Self::Cooperative(kernel) => kernel.program(format, has_bias),
            Self::Decoded(_) => f16_weights::program(format),
        }
    }

    /// How many slices the columns are split into.
    fn split_k(self) -> usize {
        match self {
            Self::Matvec(Matvec { split_k, .. })
            | Self::Tile(Tile { split_k, .. })
            | Self::Cooperative(Cooperative { split_k, .. })
            | Self::Decoded(CooperativeDecoded { split_k, .. }) => split_k,
        }
    }

    /// The dispatch for `rows` rows and `batch` vectors.
    fn dispatch(self, rows: usize, batch: usize) -> Dispatch {
        match self {
            Self::Matvec(kernel) => kernel.dispatch(rows, batch),
            Self::Tile(kernel) => kernel.dispatch(rows, batch),
            Self::Cooperative(kernel) => kernel.dispatch(rows, batch),
            Self::Decoded(kernel) => kernel.dispatch(rows, batch),
        }
    }

    /// The work of multiplying a shard by `batch` vectors, with rows of `all_rows` results.
    pub(super) fn work(self, shard: &Shard, batch: usize, all_rows: usize) -> Work {
        let dispatch = self.dispatch(shard.rows as usize, batch);
        Work { split_k: self.split_k(), ..Work::new(dispatch, batch, all_rows) }
    }

    /// The workgroups of one slice of the columns.
    pub(super) fn groups(self, rows: usize, batch: usize) -> u64 {
        let dispatch = self.dispatch(rows, batch);
        dispatch.groups * dispatch.depth / self.split_k() as u64
    }

    /// The most additions between one weight's product and the result, for rows of `cols` weights.
    pub(super) fn longest_path(self, format: Format, cols: usize) -> usize {
        match self {
            Self::Matvec(kernel) => kernel.longest_path(format, cols),
            Self::Tile(kernel) => kernel.longest_path(cols),
            Self::Cooperative(kernel) => kernel.longest_path(cols),
            Self::Decoded(kernel) => kernel.longest_path(cols),
        }
    }
}

impl Variant {
    /// The most additions between one weight's product and the result, for rows of `cols` weights.
    pub fn longest_path(self, gpu: &Gpu, format: Format, cols: usize) -> usize {
        Kernel::new(gpu, self, format, cols, 1).longest_path(format, cols)
    }
}
