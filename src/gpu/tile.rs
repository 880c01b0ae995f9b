//! The kernel that multiplies tiles of 64 rows of quantized weights and 64 vectors, for many vectors on a GPU.

use super::matrix::{Program, Shard, Work};
use super::matvec::{EXAMPLES, PLACES};
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
    /// In which the columns of the matrix are divided, for workgroups of their own.
    pub(super) spans: usize,
}

impl Tile {
    pub(super) fn program(self, format: Format, ragged: bool, bias: bool) -> Program {
        let mut names = vec![if format.is_float() { "FLOATS" } else { "CODES" }];
        names.extend(self.int8.then_some("INT8"));
        let mut form = vec![if self.int8 { "int8" } else { "exact" }];
        for (is_there, name, part) in [(bias, "BIAS", "bias"), (self.spans > 1, "SPLIT", "split")] {
            names.extend(is_there.then_some(name));
            form.extend(is_there.then_some(part));
        }
        Program {
            kernel: "matmul",
            form: form.join("."),
            format,
            ragged,
            native_half: true,
            workgroup: WORKGROUP,
            band: 1,
            names,
            constants: Vec::new(),
        }
    }

    /// What it takes to multiply `rows` rows by `batch` vectors.
    pub(super) fn dispatch(self, rows: usize, batch: usize) -> Dispatch {
        let groups = rows.div_ceil(SIDE) as u64;
        Dispatch { count: groups, groups, tiles: (batch.div_ceil(SIDE) * self.spans) as u64 }
    }

    /// What it takes to multiply a shard by `batch` vectors.
    pub(super) fn work(self, shard: &Shard, batch: usize, all_rows: usize) -> Work {
        let dispatch = self.dispatch(shard.rows as usize, batch);
        Work { dispatch, batch, all_rows: all_rows as u32, picks: 1, experts: 1, spans: self.spans }
    }

    /// Most additions that one weight's product goes through on its way into the sum, for rows of `cols` weights.
    pub(super) fn longest_path(self, cols: usize) -> usize {
        // Of 32 columns, or with int8 of 64, which are one addition.
        let steps = cols.div_ceil(32).div_ceil(self.spans);
        32 * steps.next_multiple_of(if self.int8 { 2 } else { 1 }) + self.spans - 1
    }
}

/// What a test or a compiler elsewhere should see: every format with int8, and a few with exact vectors and split.
pub(super) fn programs() -> impl Iterator<Item = Program> {
    let int8 = FORMATS.iter().map(|info| info.format).filter(|format| !format.is_float());
    let int8 = int8.map(|format| Tile { int8: true, spans: 1 }.program(format, false, false));
    let exact = [1, 4].into_iter().flat_map(|spans| {
        EXAMPLES.into_iter().map(move |format| Tile { int8: false, spans }.program(format, false, false))
    });
    let f16 = PLACES
        .into_iter()
        .map(|format| Tile { int8: false, spans: 1 }.program(format, false, false).reading_f16());
    int8.chain(exact).chain(f16)
}
