//! Which kernel a product takes: a table for each kind of adapter, and what was measured on one.

mod file;

use super::Gpu;
use super::cooperative::Cooperative;
use super::halves;
use super::matmul::Precision;
use super::matvec::{Lanes, MOST_COLUMNS, Matvec, columns_for, lanes_for};
use super::split;
use super::tile::Tile;
use super::variant::{CooperativeForm, RowsForm, TileForm, Variant};
use crate::{Error, Format, Result};
use std::sync::PoisonError;
use wgpu::{DeviceType, Features};

/// A kernel but for what the product itself decides: the precision, how many vectors are done at once, and how many lanes a row keeps busy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Form {
    kind: Kind,
    /// In which the columns are divided.
    pub(super) spans: usize,
}

/// Who adds up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A lane owns so many rows.
    Alone(usize),
    /// Lanes of a workgroup share so many rows.
    Shared(usize),
    /// A subgroup shares so many rows.
    Subgroup(usize),
    /// A workgroup has a tile.
    Tile,
    /// And multiplies it by matrix units.
    Cooperative,
}

use Kind::{Alone, Shared, Subgroup};

const KINDS: [Kind; 9] = [
    Alone(4),
    Alone(8),
    Shared(4),
    Shared(2),
    Subgroup(2),
    Subgroup(4),
    Subgroup(8),
    Kind::Tile,
    Kind::Cooperative,
];
const SPANS: [usize; 4] = [1, 2, 4, 8];

/// All forms there are.
fn forms() -> impl Iterator<Item = Form> {
    SPANS.into_iter().flat_map(|spans| KINDS.map(|kind| Form { kind, spans }))
}

/// A kind of adapter, and what products take there where nothing was measured.
struct Defaults {
    maker: Maker,
    has_subgroups: bool,
    /// For one vector and formats of short blocks, which leave a lane enough registers for more rows than long ones do.
    one_of_short_blocks: Kind,
    /// Of those, for vectors as they are, which are longer to load than a row of codes is.
    one_of_short_exact: Kind,
    one: Kind,
    /// For 2 to 8 vectors in eight bits, which have sums of their own; and as they are, when more rows share what is loaded of them.
    few: Kind,
    few_exact: Kind,
    many: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Maker {
    /// It computes on the CPU.
    Software,
    /// With subgroup operations.
    Nvidia,
    Other,
}

/// A CPU is in no hurry to share: wide vectors read rows that one lane owns as well, and better where their blocks take turns (`split.rs`); where they do not, a subgroup reads a
/// long row side by side. A GPU shares in any case; NVIDIA's were measured on an H100, whose many processors few rows a lane keep busy.
#[rustfmt::skip]
const DEFAULTS: [Defaults; 5] = [
    Defaults { maker: Maker::Software, has_subgroups: true,  one_of_short_blocks: Subgroup(8), one_of_short_exact: Subgroup(8), one: Subgroup(8), few: Alone(4),    few_exact: Alone(4),    many: Alone(4) },
    Defaults { maker: Maker::Software, has_subgroups: false, one_of_short_blocks: Alone(8),    one_of_short_exact: Alone(8),    one: Alone(8),    few: Alone(4),    few_exact: Alone(4),    many: Alone(4) },
    Defaults { maker: Maker::Nvidia,   has_subgroups: true,  one_of_short_blocks: Subgroup(2), one_of_short_exact: Subgroup(4), one: Subgroup(2), few: Subgroup(2), few_exact: Subgroup(4), many: Kind::Tile },
    Defaults { maker: Maker::Other,    has_subgroups: true,  one_of_short_blocks: Subgroup(4), one_of_short_exact: Subgroup(4), one: Subgroup(2), few: Subgroup(2), few_exact: Subgroup(2), many: Kind::Tile },
    Defaults { maker: Maker::Other,    has_subgroups: false, one_of_short_blocks: Shared(4),   one_of_short_exact: Shared(4),   one: Shared(2),   few: Shared(2),   few_exact: Shared(2),   many: Kind::Tile },
];

/// Vectors, and tiles, from which on the matrix units of NVIDIA's GPUs are faster.
const UNITS_VECTORS: usize = 65;
const UNITS_GROUPS: u64 = 16;
/// What an H100 takes for them, in ns: its processors one tile each, for a column; a byte of the sums of spans; and one dispatch more.
const PROCESSORS: u64 = 132;
const COLUMN_NS: f64 = 30.5;
const SUM_BYTE_NS: f64 = 6.5e-4;
const SUM_NS: f64 = 1e4;

/// Its vendor number.
const NVIDIA: u32 = 0x10de;
/// Weights of a block that is short.
const SHORT_BLOCK: usize = 32;
/// On a CPU, columns of a row that is too short to be worth the sum of those who share it.
const SHORT_ROW: usize = 2048;
/// Where a product has fewer workgroups, a large GPU has nothing to do for most of its processors, and the columns are split; into no more than twice as many.
const BUSY_GROUPS: u64 = 128;
/// The same of tiles on NVIDIA's, of which an H100's processors have several at once.
const BUSY_TILES: u64 = 256;
/// Columns of a span for each lane that shares a row: as many as any format fetches at once. And for a tile, which loads 32 or 64 between barriers.
const LEAST_LANE_COLS: usize = 128;
const LEAST_TILE_COLS: usize = 512;

impl Form {
    /// What `gpu` can run, for so many vectors.
    pub(super) fn all(gpu: &Gpu, precision: Precision, batch: usize) -> impl Iterator<Item = Self> {
        forms().filter(move |form| form.takes(precision, batch) && form.lacks(gpu).is_none())
    }

    /// Whether it is for so many vectors: of a few, a tile wastes most of itself.
    fn takes(self, precision: Precision, batch: usize) -> bool {
        match self.kind {
            Alone(_) | Shared(_) | Subgroup(_) => true,
            Kind::Tile => batch > MOST_COLUMNS,
            Kind::Cooperative => batch > MOST_COLUMNS && precision == Precision::Int8,
        }
    }

    /// What it needs and `gpu` has not.
    fn lacks(self, gpu: &Gpu) -> Option<&'static str> {
        match self.kind {
            Subgroup(_) if !has_subgroups(gpu) => Some("subgroup operations"),
            Kind::Cooperative if gpu.matrix_units().is_none() => Some("matrix units"),
            _ => None,
        }
    }

    /// The kernel, for vectors of `cols` numbers, on a device that can run it.
    pub(super) fn variant(
        self,
        gpu: &Gpu,
        format: Format,
        cols: usize,
        precision: Precision,
        batch: usize,
    ) -> Variant {
        let (int8, spans) = (precision == Precision::Int8, self.spans);
        let (lanes, rows) = match self.kind {
            Alone(rows) => (Lanes::Alone, rows),
            Shared(rows) => (Lanes::Shared(lanes_for(format, cols)), rows),
            Subgroup(rows) => (Lanes::Subgroup, rows),
            Kind::Tile => return Variant::Tile(TileForm(Tile { int8, spans })),
            Kind::Cooperative => {
                let units = gpu.matrix_units().expect("a form that needs them is taken where they are");
                return Variant::Cooperative(CooperativeForm(Cooperative { units, spans }));
            }
        };
        Variant::Rows(RowsForm(Matvec { int8, lanes, rows, columns: columns_for(batch), spans }))
    }

    /// What a kernel is a case of.
    fn of(variant: Variant) -> Self {
        let kind = match variant {
            Variant::Tile(_) => Kind::Tile,
            Variant::Cooperative(_) => Kind::Cooperative,
            Variant::Rows(RowsForm(Matvec { lanes, rows, .. })) => match lanes {
                Lanes::Alone => Alone(rows),
                Lanes::Shared(_) => Shared(rows),
                Lanes::Subgroup => Subgroup(rows),
            },
        };
        Self { kind, spans: variant.spans() }
    }
}

/// Spans of `cols` columns on a GPU, for what has so many workgroups; each span has so many columns at least.
fn default_spans(groups: u64, busy: u64, cols: usize, least_cols: usize) -> usize {
    let does = |spans: &usize| cols / spans >= least_cols && groups * *spans as u64 <= 2 * busy;
    if groups < busy { SPANS.into_iter().rfind(does).unwrap_or(1) } else { 1 }
}

/// In how many spans columns are best divided for `tiles` tiles of matrix units: processors that have no tile in the last turn wait for the others.
fn unit_spans(tiles: u64, (rows, cols): (usize, usize), batch: usize) -> usize {
    let time = |&spans: &usize| {
        let turns = (tiles * spans as u64).div_ceil(PROCESSORS) as f64;
        let sums =
            if spans > 1 { SUM_NS + (4 * (2 * spans + 1) * rows * batch) as f64 * SUM_BYTE_NS } else { 0.0 };
        turns * (cols / spans) as f64 * COLUMN_NS + sums
    };
    let does = |spans: &usize| *spans == 1 || cols / spans >= LEAST_TILE_COLS;
    SPANS.into_iter().filter(does).min_by(|a, b| time(a).total_cmp(&time(b))).unwrap_or(1)
}

/// Numbers that count as one: what a file calls them, and the least of them.
type Class = (&'static str, usize);

const VECTORS: [Class; 4] = [("1", 1), ("2-8", 2), ("9-64", 9), ("65-", 65)];
const ROWS: [Class; 3] = [("1-255", 1), ("256-2047", 256), ("2048-", 2048)];
const COLS: [Class; 3] = [("1-2047", 1), ("2048-8191", 2048), ("8192-", 8192)];

/// The class that a number is in.
fn class(classes: &[Class], number: usize) -> Class {
    *classes.iter().rfind(|(_, least)| *least <= number).unwrap_or(&classes[0])
}

/// Products that take the same kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Products {
    format: Format,
    precision: Precision,
    vectors: Class,
    rows: Class,
    cols: Class,
}

impl Products {
    fn of(format: Format, rows: usize, cols: usize, precision: Precision, batch: usize) -> Self {
        Self {
            format,
            precision,
            vectors: class(&VECTORS, batch),
            rows: class(&ROWS, rows),
            cols: class(&COLS, cols),
        }
    }
}

/// Which kernels products take on one device where that is not by default: what `qmill tune` has measured.
///
/// It goes by format, precision and classes of shapes (1, 2 to 8, 9 to 64 and more vectors; rows up to 255, up to 2047 and more; columns up to 2047, up to
/// 8191 and more), and is of use on the adapter and with the driver that it was measured on, whose names it keeps. Results are as exact with one kernel as with
/// another, but not the same to the last bit.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tuning {
    adapter: String,
    driver: String,
    choices: Vec<(Products, Form)>,
}

impl Tuning {
    /// A table for this device that chooses as by default.
    pub fn new(gpu: &Gpu) -> Self {
        Self { adapter: gpu.name().to_owned(), driver: driver(gpu), choices: Vec::new() }
    }

    /// In how many cases it chooses otherwise than by default.
    pub fn len(&self) -> usize {
        self.choices.len()
    }

    /// Whether it chooses as by default.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// Whether a device can follow it.
    ///
    /// Fails with [`Error::Tuning`] where the table is another adapter's or driver's, or has a kernel that this device cannot run, since an app may have opened
    /// it without subgroup operations or matrix units.
    pub fn check(&self, gpu: &Gpu) -> Result<()> {
        let fault = |what, needed: String, found: &str| {
            Err(Error::Tuning { place: gpu.name().to_owned(), what, needed, found: found.to_owned() })
        };
        if self.adapter != gpu.name() {
            return fault("the adapter of the table", format!("{:?}", gpu.name()), &self.adapter);
        }
        if self.driver != driver(gpu) {
            return fault("the driver of the table", format!("{:?}", driver(gpu)), &self.driver);
        }
        match self.choices.iter().find_map(|(_, form)| Some((form, form.lacks(gpu)?))) {
            None => Ok(()),
            Some((form, lacking)) => {
                fault("a kernel of the table", format!("one without {lacking}"), &form.to_string())
            }
        }
    }

    /// From now on, products of the class of this one take the kernel `variant`; by default again if there is none.
    #[doc(hidden)]
    pub fn set(
        &mut self,
        format: Format,
        (rows, cols): (usize, usize),
        precision: Precision,
        batch: usize,
        variant: Option<Variant>,
    ) {
        let products = Products::of(format, rows, cols, precision, batch);
        self.insert(products, variant.map(Form::of));
    }

    fn insert(&mut self, products: Products, form: Option<Form>) {
        self.choices.retain(|(known, _)| *known != products);
        self.choices.extend(form.map(|form| (products, form)));
    }
}

impl Gpu {
    /// Has products that are prepared from now on take the kernels of a table, on this device and its clones; those that are prepared stay as they are.
    ///
    /// Fails as [`Tuning::check`] does, and then all stays as it was.
    pub fn set_tuning(&self, tuning: Tuning) -> Result<()> {
        tuning.check(self)?;
        *self.shared.tuning.write().unwrap_or_else(PoisonError::into_inner) = tuning;
        Ok(())
    }

    /// The form of the kernel for a product.
    pub(super) fn form(
        &self,
        format: Format,
        rows: usize,
        cols: usize,
        precision: Precision,
        batch: usize,
    ) -> Form {
        let products = Products::of(format, rows, cols, precision, batch);
        let tuning = self.shared.tuning.read().unwrap_or_else(PoisonError::into_inner);
        // Of clones that share a table, one may lack what another has.
        let does = |(known, form): &&(Products, Form)| *known == products && form.lacks(self).is_none();
        if let Some(&(_, form)) = tuning.choices.iter().find(does) {
            return form;
        }
        let form = Form { kind: self.default_kind(format, (rows, cols), precision, batch), spans: 1 };
        if self.maker() == Maker::Software {
            return form;
        }
        let variant = form.variant(self, format, cols, precision, batch);
        let (busy, least_cols) = match variant {
            Variant::Cooperative(_) => {
                let spans = unit_spans(variant.groups(self, rows, batch), (rows, cols), batch);
                return Form { spans, ..form };
            }
            Variant::Rows(RowsForm(form)) => {
                (BUSY_GROUPS, LEAST_LANE_COLS * form.lanes.count(self.least_subgroup()))
            }
            Variant::Tile(_) if self.maker() == Maker::Nvidia => (BUSY_TILES, LEAST_TILE_COLS),
            Variant::Tile(_) => (BUSY_GROUPS, LEAST_TILE_COLS),
        };
        Form { spans: default_spans(variant.groups(self, rows, batch), busy, cols, least_cols), ..form }
    }

    fn maker(&self) -> Maker {
        match self.device().adapter_info() {
            info if info.device_type == DeviceType::Cpu => Maker::Software,
            info if info.vendor == NVIDIA && has_subgroups(self) => Maker::Nvidia,
            _ => Maker::Other,
        }
    }

    fn default_kind(
        &self,
        format: Format,
        (rows, cols): (usize, usize),
        precision: Precision,
        batch: usize,
    ) -> Kind {
        let (maker, has_subgroups) = (self.maker(), has_subgroups(self));
        let defaults = DEFAULTS.iter().find(|of| (of.maker, of.has_subgroups) == (maker, has_subgroups));
        let defaults = defaults.expect("there are defaults for each kind");
        let is_int8 = precision == Precision::Int8;
        let halves_fit = || halves::bytes(cols, batch) <= self.max_binding_bytes();
        let units = self.matrix_units().filter(|_| maker == Maker::Nvidia && is_int8 && halves_fit());
        let unit_groups = units.map_or(0, |units| {
            let dispatch = Cooperative { units, spans: 1 }.dispatch(rows, batch);
            dispatch.groups * dispatch.tiles
        });
        let is_short_block = format.info().block_weights <= SHORT_BLOCK;
        // Blocks that take turns are read side by side by lanes that own their rows.
        let in_bands = self.prefers_texels() && split::band(format) > 1;
        match batch {
            ..=1 if maker == Maker::Software && (cols < SHORT_ROW || in_bands) => {
                Alone(if is_short_block { 8 } else { 4 })
            }
            ..=1 if is_short_block && !is_int8 && !format.is_float() => defaults.one_of_short_exact,
            ..=1 if is_short_block => defaults.one_of_short_blocks,
            ..=1 => defaults.one,
            2..=8 if is_int8 => defaults.few,
            2..=8 => defaults.few_exact,
            UNITS_VECTORS.. if unit_groups >= UNITS_GROUPS => Kind::Cooperative,
            _ => defaults.many,
        }
    }
}

fn has_subgroups(gpu: &Gpu) -> bool {
    gpu.device().features().contains(Features::SUBGROUP)
}

/// The driver's name and version.
fn driver(gpu: &Gpu) -> String {
    let info = gpu.device().adapter_info();
    format!("{} {}", info.driver, info.driver_info).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_one_class() {
        let names = |classes: &[Class], numbers: [usize; 5]| numbers.map(|number| class(classes, number).0);
        assert_eq!(names(&VECTORS, [1, 2, 8, 9, 64]), ["1", "2-8", "2-8", "9-64", "9-64"]);
        assert_eq!(
            names(&ROWS, [1, 255, 256, 2047, 2048]),
            ["1-255", "1-255", "256-2047", "256-2047", "2048-"]
        );
        assert_eq!(
            names(&COLS, [1, 2047, 2048, 8191, 8192]),
            ["1-2047", "1-2047", "2048-8191", "2048-8191", "8192-"]
        );
        assert_eq!(class(&VECTORS, usize::MAX).0, "65-");
    }

    #[test]
    fn columns_are_split_where_rows_are_few_and_long() {
        // Subgroups of 32 that share 4 rows, two to a workgroup.
        let of_rows =
            |rows: u64, cols| default_spans(rows.div_ceil(8), BUSY_GROUPS, cols, 32 * LEAST_LANE_COLS);
        assert_eq!([64, 256, 512, 1024].map(|rows| of_rows(rows, 65536)), [8, 8, 4, 1]);
        assert_eq!([4096, 8191, 8192, 14336, 32768].map(|cols| of_rows(64, cols)), [1, 1, 2, 2, 8]);
        let of_units = |rows: usize, batch: usize| {
            unit_spans((rows.div_ceil(128) * batch.div_ceil(128)) as u64, (rows, 4096), batch)
        };
        // As measured on an H100: 128 tiles keep it busy, 160 are two turns.
        assert_eq!([1024, 4096, 5120, 6144, 28672].map(|rows| of_units(rows, 512)), [4, 1, 4, 2, 1]);
        assert_eq!([1024, 4096, 5120].map(|rows| of_units(rows, 256)), [8, 2, 1]);
        let of_tiles = |tiles, cols| default_spans(tiles, BUSY_GROUPS, cols, LEAST_TILE_COLS);
        assert_eq!([1, 64, 127, 128].map(|tiles| of_tiles(tiles, 4096)), [8, 4, 2, 1]);
        assert_eq!([576, 1536, 2048].map(|cols| of_tiles(1, cols)), [1, 2, 4]);
    }
}
