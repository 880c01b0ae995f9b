//! The kernel that multiplies tiles of 64 rows of quantized weights and 64 vectors, for many vectors on a GPU.

use super::matrix::{Program, Shard, Work};
use super::matvec::EXAMPLES;
use super::op::Dispatch;
use crate::{FORMATS, Format};

/// Rows, and vectors, of a tile.
const SIDE: usize = 64;
/// Invocations of a workgroup.
const WORKGROUP: u64 = 128;

/// One form of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tile {
    pub(super) int8: bool,
}

impl Tile {
    pub(super) fn program(self, format: Format, ragged: bool, bias: bool) -> Program {
        let mut names = vec![if format.is_float() { "FLOATS" } else { "CODES" }];
        names.extend(self.int8.then_some("INT8"));
        names.extend(bias.then_some("BIAS"));
        let form = if self.int8 { "int8" } else { "exact" };
        let form = if bias { format!("{form}.bias") } else { form.to_owned() };
        Program {
            kernel: "matmul",
            form,
            format,
            ragged,
            native_half: true,
            workgroup: WORKGROUP,
            names,
            constants: Vec::new(),
        }
    }

    /// What it takes to multiply a shard by `batch` vectors.
    pub(super) fn work(shard: &Shard, batch: usize, all_rows: usize) -> Work {
        let groups = (shard.rows as usize).div_ceil(SIDE) as u64;
        let dispatch = Dispatch { count: groups, groups, tiles: batch.div_ceil(SIDE) as u64 };
        Work { dispatch, batch, all_rows: all_rows as u32, picks: 1 }
    }

    /// Most additions that one weight's product goes through on its way into the sum, for rows of `cols` weights.
    pub(super) fn longest_path(cols: usize) -> usize {
        cols.next_multiple_of(32)
    }
}

/// What a test or a compiler elsewhere should see: every format with int8, and a few with exact vectors.
pub(super) fn programs() -> impl Iterator<Item = Program> {
    let int8 = FORMATS.iter().map(|info| info.format).filter(|format| !format.is_float());
    let int8 = int8.map(|format| Tile { int8: true }.program(format, false, false));
    int8.chain(EXAMPLES.into_iter().map(|format| Tile { int8: false }.program(format, false, false)))
}
