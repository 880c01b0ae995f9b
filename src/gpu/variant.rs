//! The kernels that multiply, each with its parameters: what tests and benches choose from, and the library by its tables.

use super::Gpu;
use super::cooperative::Cooperative;
use super::matmul::Precision;
use super::matrix::{Program, Shard, Work};
use super::matvec::{self, Lanes, Matvec};
use super::tile::Tile;
use super::tuning::Form;
use crate::Format;
use std::fmt;

/// Columns are not split where there are as many workgroups: they keep any GPU busy, and the sums of spans would take more memory than they are worth.
const MOST_SPLIT_GROUPS: u64 = 1024;

/// A kernel that multiplies, and its parameters: what [`Gpu::prepare_matmul`] chooses from.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    #[doc(hidden)]
    Rows(RowsForm),
    #[doc(hidden)]
    Tile(TileForm),
    #[doc(hidden)]
    Cooperative(CooperativeForm),
}

/// Rows of the matrix times a few vectors.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RowsForm(pub(super) Matvec);

/// Tiles of the matrix times many vectors.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TileForm(pub(super) Tile);

/// Tiles of the matrix times many vectors, by matrix units.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CooperativeForm(pub(super) Cooperative);

impl fmt::Display for Variant {
    /// As in `int8.subgroup.4x1` (rows and vectors at once), `exact.tile` or `exact.tile.split4` (the columns in four spans).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = if self.precision() == Precision::Int8 { "int8" } else { "exact" };
        let split = if self.spans() > 1 { format!(".split{}", self.spans()) } else { String::new() };
        let name = match self {
            Self::Tile(_) => format!("{precision}.tile"),
            Self::Cooperative(_) => format!("{precision}.cooperative"),
            Self::Rows(RowsForm(Matvec { lanes, rows, columns, .. })) => match lanes {
                Lanes::Alone => format!("{precision}.alone.{rows}x{columns}"),
                Lanes::Shared(lanes) => format!("{precision}.shared{lanes}.{rows}x{columns}"),
                Lanes::Subgroup => format!("{precision}.subgroup.{rows}x{columns}"),
            },
        };
        f.pad(&(name + &split))
    }
}

impl Variant {
    /// What `gpu` can run for weights of `format` in rows of `cols` and `batch` vectors; of the ways to split the columns, one.
    pub fn all(gpu: &Gpu, format: Format, cols: usize, batch: usize) -> Vec<Self> {
        let precisions: &[_] =
            if format.is_float() { &[Precision::Exact] } else { &[Precision::Exact, Precision::Int8] };
        let of = |&precision: &Precision| {
            let forms = Form::all(gpu, precision, batch).filter(|form| matches!(form.spans, 1 | 4));
            forms.map(move |form| form.variant(gpu, format, cols, precision, batch))
        };
        precisions.iter().flat_map(of).collect()
    }

    /// What may be the best for `rows` rows: columns are not split where there is enough to do at once.
    pub(crate) fn candidates(
        gpu: &Gpu,
        format: Format,
        (rows, cols): (usize, usize),
        precision: Precision,
        batch: usize,
    ) -> Vec<Self> {
        let all =
            Form::all(gpu, precision, batch).map(|form| form.variant(gpu, format, cols, precision, batch));
        all.filter(|variant| variant.spans() == 1 || variant.may_split(gpu, rows, batch)).collect()
    }

    /// What the library takes by itself for `rows` rows of `cols` weights and `batch` vectors; weights that are floats take vectors as they are.
    pub fn chosen(
        gpu: &Gpu,
        format: Format,
        rows: usize,
        cols: usize,
        precision: Precision,
        batch: usize,
    ) -> Self {
        let precision = if format.is_float() { Precision::Exact } else { precision };
        let form = gpu.form(format, rows, cols, precision, batch);
        let variant = form.variant(gpu, format, cols, precision, batch);
        // A table goes by classes, of which this may be the largest.
        if variant.may_split(gpu, rows, batch) { variant } else { variant.with_spans(1) }
    }

    /// In how many spans the columns are divided.
    pub(super) fn spans(self) -> usize {
        match self {
            Self::Rows(RowsForm(Matvec { spans, .. }))
            | Self::Tile(TileForm(Tile { spans, .. }))
            | Self::Cooperative(CooperativeForm(Cooperative { spans, .. })) => spans,
        }
    }

    pub(super) fn with_spans(self, spans: usize) -> Self {
        match self {
            Self::Rows(RowsForm(form)) => Self::Rows(RowsForm(Matvec { spans, ..form })),
            Self::Tile(TileForm(form)) => Self::Tile(TileForm(Tile { spans, ..form })),
            Self::Cooperative(CooperativeForm(form)) => {
                Self::Cooperative(CooperativeForm(Cooperative { spans, ..form }))
            }
        }
    }

    /// The kernel for a format.
    pub(super) fn program(self, format: Format, ragged: bool, bias: bool) -> Program {
        match self {
            Self::Rows(RowsForm(form)) => form.program(format, ragged, bias, None),
            Self::Tile(TileForm(form)) => form.program(format, ragged, bias),
            Self::Cooperative(CooperativeForm(form)) => form.program(format, bias),
        }
    }

    /// What it takes to multiply a shard by `batch` vectors.
    pub(super) fn work(self, gpu: &Gpu, shard: &Shard, batch: usize, all_rows: usize) -> Work {
        match self {
            Self::Rows(RowsForm(form)) => matvec::work(form, shard, batch, all_rows, gpu.least_subgroup()),
            Self::Tile(TileForm(form)) => form.work(shard, batch, all_rows),
            Self::Cooperative(CooperativeForm(form)) => form.work(shard, batch, all_rows),
        }
    }

    /// Workgroups, of one span.
    pub(super) fn groups(self, gpu: &Gpu, rows: usize, batch: usize) -> u64 {
        let dispatch = match self.with_spans(1) {
            Self::Rows(RowsForm(form)) => form.work(rows, batch, gpu.least_subgroup()),
            Self::Tile(TileForm(form)) => form.dispatch(rows, batch),
            Self::Cooperative(CooperativeForm(form)) => form.dispatch(rows, batch),
        };
        dispatch.groups * dispatch.tiles
    }

    /// Whether its spans are worth their sums, and the device can bind these: of large tiles they are more.
    fn may_split(self, gpu: &Gpu, rows: usize, batch: usize) -> bool {
        let sums_bytes = 4 * (self.spans() * rows * batch) as u64;
        self.groups(gpu, rows, batch) < MOST_SPLIT_GROUPS && sums_bytes <= gpu.max_binding_bytes()
    }

    /// Whether it takes vectors in eight bits.
    pub fn precision(self) -> Precision {
        match self {
            Self::Rows(RowsForm(Matvec { int8: false, .. }))
            | Self::Tile(TileForm(Tile { int8: false, .. })) => Precision::Exact,
            _ => Precision::Int8,
        }
    }

    /// The same as Metal has it, for tests on other backends.
    #[must_use]
    pub fn as_on_metal(self) -> Self {
        match self {
            Self::Cooperative(CooperativeForm(form)) => {
                Self::Cooperative(CooperativeForm(form.with_single_numbers()))
            }
            other => other,
        }
    }

    /// By how much of itself a weight, and a number of a vector, may be off before they are multiplied: f16 may be rounded either way.
    pub fn rounding(self) -> f64 {
        if matches!(self, Self::Cooperative(_)) { f64::powi(2.0, -10) } else { 0.0 }
    }

    /// Most additions that one weight's product goes through on its way into the sum, for rows of `cols` weights.
    pub fn longest_path(self, gpu: &Gpu, format: Format, cols: usize) -> usize {
        match self {
            Self::Rows(RowsForm(form)) => {
                let info = gpu.device().adapter_info();
                let sizes = [info.subgroup_min_size, info.subgroup_max_size].map(|size| size.max(1) as usize);
                form.longest_path(format, cols, sizes)
            }
            Self::Tile(TileForm(form)) => form.longest_path(cols),
            Self::Cooperative(CooperativeForm(form)) => form.longest_path(cols),
        }
    }
}
