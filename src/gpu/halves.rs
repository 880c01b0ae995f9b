//! What matrix units take: vectors as f16, and the powers of two by which these and the rows of a matrix are divided to be within its range.

use super::Gpu;
use super::activations::Activations;
use super::kernel::{Access, WORKGROUP};
use super::matrix::{Bound, Matrix, Program, Shard, Work, whole};
use super::op::{Dispatch, Op, Range, Resource};
use super::pipeline::Arithmetic;
use super::shader;
use super::split::CHUNK_BYTES;
use crate::{FORMATS, Format, Result};
use wgpu::BufferUsages;

const NAME: &str = "matmul_halves";
/// Rows that a workgroup finds the sizes of.
const ROWS_AT_ONCE: usize = 8;

fn wgsl() -> Result<String, String> {
    let names = ["INT8", "HALVES"];
    shader::join("kernel/matmul_halves.wgsl", None, &names, &[("WORKGROUP", WORKGROUP as usize)])
}

/// Of vectors, every shader there is.
pub(super) fn texts() -> impl Iterator<Item = (&'static str, Result<String, String>)> {
    std::iter::once((NAME, wgsl()))
}

/// Of rows, one for each format.
pub(super) fn programs() -> impl Iterator<Item = Program> {
    FORMATS.iter().map(|info| info.format).filter(|format| !format.is_float()).map(row_sizes)
}

fn row_sizes(format: Format) -> Program {
    Program {
        kernel: "matmul_row_sizes",
        form: String::new(),
        format,
        ragged: false,
        native_half: true,
        workgroup: WORKGROUP,
        band: 1,
        names: vec!["CODES", "INT8"],
        constants: vec![("ROWS_AT_ONCE", ROWS_AT_ONCE)],
    }
}

/// Bytes of `batch` vectors of `cols` numbers as f16, and of what each is divided by.
pub(super) fn bytes(cols: usize, batch: usize) -> u64 {
    (batch * (cols * 2 + CHUNK_BYTES)) as u64
}

impl Gpu {
    /// Prepares the f16 of vectors that are there in eight bits.
    pub(super) fn prepare_halves(&self, x: &Activations, halves: &Range) -> Result<Op> {
        // The bindings of lib/activations.wgsl.
        let slots = [(3, Access::Read), (4, Access::ReadWrite)];
        let pipeline = self.pipeline(NAME, &slots, Arithmetic::Loose, |_| wgsl())?;
        let groups = x.batch() as u64;
        let dispatch = Dispatch { count: groups, groups, tiles: 1 };
        let bound = [(3, x.range(true)), (4, halves.clone())].map(|(at, range)| (at, Resource::Range(range)));
        // In the order of Params in lib/params.wgsl.
        let params = [x.cols() as u32, x.batch() as u32];
        Ok(Op { steps: vec![self.bind(pipeline, dispatch, &params, &bound)?] })
    }

    /// The bits of the largest magnitude that each row of a shard may have: computed when first asked for, and kept with the shard.
    pub(super) fn row_sizes(&self, matrix: &Matrix, shard: &Shard) -> Result<wgpu::Buffer> {
        if let Some(known) = shard.row_sizes.get() {
            return Ok(known.clone());
        }
        let sizes = self.buffer(4 * u64::from(shard.rows), BufferUsages::STORAGE)?;
        let program = Program { native_half: self.keeps_halves(), ..row_sizes(matrix.format()) };
        let bound = Bound {
            input: None,
            input_is_uniform: false,
            output: whole("the sizes of rows", &sizes),
            bias: None,
            numbers: None,
            slots: None,
        };
        let groups = (shard.rows as usize).div_ceil(ROWS_AT_ONCE) as u64;
        let work = Work {
            dispatch: Dispatch { count: groups, groups, tiles: 1 },
            batch: 1,
            all_rows: matrix.rows() as u32,
            picks: 1,
            experts: 1,
            spans: 1,
        };
        let step = self.prepare_with_shard(&program, matrix, shard, &bound, Arithmetic::Loose, &work)?;
        self.guarded(|| {
            self.submit(|encoder| Op { steps: vec![step] }.record(encoder));
        })?;
        Ok(shard.row_sizes.get_or_init(|| sizes).clone())
    }
}
