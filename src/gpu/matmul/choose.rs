//! Chooses the kernel of a product: by measurements on the device, or else by defaults per kind of adapter.

use super::cooperative::Cooperative;
use super::f16_activations;
use super::kernel::Kernel;
use super::precision::Precision;
use super::tuning::{ProductClass, Tuning};
use super::variant::{Form, SPLITS, Variant};
use crate::gpu::Gpu;
use crate::gpu::matrix::layout::interleaved_rows;
use crate::{Error, Format, Result};
use Form::{Shared, Subgroup, ThreadPerRow, Tile};
use std::sync::PoisonError;
use wgpu::Features;

/// From this many workgroups on, columns are not split: these keep any GPU busy, and the sums of the slices
/// would take too much memory.
const MOST_SPLIT_GROUPS: u64 = 1024;

/// The default kernels of a kind of adapter.
struct Defaults {
    maker: Maker,
    has_subgroups: bool,
    /// For one int8 vector and short blocks, which leave a lane enough registers for more rows.
    one_of_short_blocks: Form,
    /// For one exact vector and short blocks: loading the vector takes longer than a row of codes.
    one_of_short_exact: Form,
    /// For one vector and long blocks.
    one: Form,
    /// For 2 to 8 int8 vectors, each with its own sums.
    few: Form,
    /// For 2 to 8 exact vectors: more rows share each load.
    few_exact: Form,
    /// For more vectors.
    many: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Maker {
    /// An adapter that computes on the CPU.
    Software,
    /// NVIDIA, with subgroup operations.
    Nvidia,
    Other,
}

/// On software adapters, a CPU vector can also read several rows of one thread, faster if rows are
/// interleaved (`matrix/layout.rs`); otherwise a subgroup reads a long row side by side. GPUs always share
/// rows. NVIDIA's defaults were measured on an H100, whose many processors stay busy with few rows a lane.
const DEFAULTS: [Defaults; 5] = [
    Defaults {
        maker: Maker::Software,
        has_subgroups: true,
        one_of_short_blocks: Subgroup(8),
        one_of_short_exact: Subgroup(8),
        one: Subgroup(8),
        few: ThreadPerRow(4),
        few_exact: ThreadPerRow(4),
        many: ThreadPerRow(4),
    },
    Defaults {
        maker: Maker::Software,
        has_subgroups: false,
        one_of_short_blocks: ThreadPerRow(8),
        one_of_short_exact: ThreadPerRow(8),
        one: ThreadPerRow(8),
        few: ThreadPerRow(4),
        few_exact: ThreadPerRow(4),
        many: ThreadPerRow(4),
    },
    Defaults {
        maker: Maker::Nvidia,
        has_subgroups: true,
        one_of_short_blocks: Subgroup(2),
        one_of_short_exact: Subgroup(4),
        one: Subgroup(2),
        few: Subgroup(2),
        few_exact: Subgroup(4),
        many: Tile,
    },
    Defaults {
        maker: Maker::Other,
        has_subgroups: true,
        one_of_short_blocks: Subgroup(4),
        one_of_short_exact: Subgroup(4),
        one: Subgroup(2),
        few: Subgroup(2),
        few_exact: Subgroup(2),
        many: Tile,
    },
    Defaults {
        maker: Maker::Other,
        has_subgroups: false,
        one_of_short_blocks: Shared(4),
        one_of_short_exact: Shared(4),
        one: Shared(2),
        few: Shared(2),
        few_exact: Shared(2),
        many: Tile,
    },
];

/// From this many vectors and tiles on, NVIDIA's matrix units are faster.
const UNITS_VECTORS: usize = 65;
const UNITS_GROUPS: u64 = 16;
/// A cost model of an H100 with matrix units, in ns: a column of one tile on each processor, a byte of
/// split-K sums, an additional dispatch.
const PROCESSORS: u64 = 132;
const COLUMN_NS: f64 = 30.5;
const SUM_BYTE_NS: f64 = 6.5e-4;
const SUM_NS: f64 = 1e4;

/// NVIDIA's PCI vendor number.
const NVIDIA: u32 = 0x10de;
/// The most weights of a short block.
const SHORT_BLOCK: usize = 32;
/// With fewer workgroups, most processors of a large GPU are idle. Columns are then split, into at most twice
/// as many workgroups.
const BUSY_GROUPS: u64 = 128;
/// The same for tiles on NVIDIA, where a processor of an H100 runs several at once.
const BUSY_TILES: u64 = 256;
/// The fewest columns of a slice, per lane that shares a row: as many as any format fetches at once. And for
/// a tile, which loads 32 or 64 between barriers.
const LEAST_LANE_COLS: usize = 128;
const LEAST_TILE_COLS: usize = 512;

/// How many slices a GPU splits `cols` columns into, for a product of `groups` workgroups.
fn split_k_for(groups: u64, busy: u64, cols: usize, least_cols: usize) -> usize {
    let fits = |split_k: &usize| cols / split_k >= least_cols && groups * *split_k as u64 <= 2 * busy;
    if groups < busy { SPLITS.into_iter().rfind(fits).unwrap_or(1) } else { 1 }
}

/// The best number of slices for `tiles` tiles of matrix units: in the last wave, processors without a tile
/// are idle.
fn units_split_k(tiles: u64, (rows, cols): (usize, usize), batch: usize) -> usize {
    let time = |&split_k: &usize| {
        let waves = (tiles * split_k as u64).div_ceil(PROCESSORS) as f64;
        let sums = if split_k > 1 {
            SUM_NS + (4 * (2 * split_k + 1) * rows * batch) as f64 * SUM_BYTE_NS
        } else {
            0.0
        };
        waves * (cols / split_k) as f64 * COLUMN_NS + sums
    };
    let fits = |split_k: &usize| *split_k == 1 || cols / split_k >= LEAST_TILE_COLS;
    SPLITS.into_iter().filter(fits).min_by(|a, b| time(a).total_cmp(&time(b))).unwrap_or(1)
}

impl Variant {
    /// All variants that `gpu` can run for weights of `format` and `batch` vectors, with 1 or 4 slices
    /// of columns.
    pub fn all(gpu: &Gpu, format: Format, batch: usize) -> Vec<Self> {
        let precisions: &[_] =
            if format.is_float() { &[Precision::Exact] } else { &[Precision::Exact, Precision::Int8] };
        let of = |&precision: &Precision| runnable(gpu, precision, batch);
        let all = precisions.iter().flat_map(of);
        all.filter(|variant| matches!(variant.split_k(), 1 | 4)).collect()
    }

    /// The variants that may be the fastest for a product. Columns are not split if there are enough
    /// workgroups.
    pub(crate) fn candidates(
        gpu: &Gpu,
        format: Format,
        (rows, cols): (usize, usize),
        precision: Precision,
        batch: usize,
    ) -> Vec<Self> {
        let all = runnable(gpu, precision, batch);
        all.filter(|variant| variant.split_k() == 1 || variant.may_split(gpu, format, (rows, cols), batch))
            .collect()
    }

    /// The variant that the library uses for `rows` rows of `cols` weights and `batch` vectors. Products with
    /// float weights are always exact.
    pub fn chosen(
        gpu: &Gpu,
        format: Format,
        rows: usize,
        cols: usize,
        precision: Precision,
        batch: usize,
    ) -> Self {
        let precision = if format.is_float() { Precision::Exact } else { precision };
        let variant = gpu.variant(format, (rows, cols), precision, batch);
        // The table's choice is for a class of shapes and may not fit the largest of them.
        if variant.may_split(gpu, format, (rows, cols), batch) { variant } else { variant.with_split_k(1) }
    }

    /// Whether splitting the columns is worth the sums and the device can bind them.
    fn may_split(self, gpu: &Gpu, format: Format, (rows, cols): (usize, usize), batch: usize) -> bool {
        let sums_bytes = 4 * (self.split_k() * rows * batch) as u64;
        let groups = Kernel::new(gpu, self, format, cols, batch).groups(rows, batch);
        groups < MOST_SPLIT_GROUPS && sums_bytes <= gpu.max_binding_bytes()
    }
}

/// The variants that `gpu` can run for `batch` vectors.
fn runnable(gpu: &Gpu, precision: Precision, batch: usize) -> impl Iterator<Item = Variant> {
    let lacks = move |variant: &Variant| gpu.lacks(*variant).is_some();
    Variant::every(precision).filter(move |variant| variant.takes(batch) && !lacks(variant))
}

impl Tuning {
    /// An empty table for this device: every product uses the default kernel.
    pub fn new(gpu: &Gpu) -> Self {
        Self::of_device(gpu.name().to_owned(), driver(gpu))
    }

    /// Checks that a device can use this table.
    ///
    /// Fails with [`Error::Tuning`] if the table is for another adapter or driver, or names a kernel that
    /// this device cannot run: an app may have opened it without subgroup operations or matrix units.
    pub fn check(&self, gpu: &Gpu) -> Result<()> {
        let fault = |what, needed: String, found: &str| {
            Err(Error::Tuning { source_name: gpu.name().to_owned(), what, needed, found: found.to_owned() })
        };
        if self.adapter != gpu.name() {
            return fault("the adapter of the table", format!("{:?}", gpu.name()), &self.adapter);
        }
        if self.driver != driver(gpu) {
            return fault("the driver of the table", format!("{:?}", driver(gpu)), &self.driver);
        }
        match self.choices().find_map(|(_, variant)| Some((variant, gpu.lacks(variant)?))) {
            None => Ok(()),
            Some((variant, lacking)) => {
                fault("a kernel of the table", format!("one without {lacking}"), &variant.to_string())
            }
        }
    }
}

impl Gpu {
    /// Sets the table that this device and its clones use for products prepared from now on. Prepared
    /// products keep their kernels.
    ///
    /// Fails as [`Tuning::check`] does, and then changes nothing.
    pub fn set_tuning(&self, tuning: Tuning) -> Result<()> {
        tuning.check(self)?;
        *self.shared.tuning.write().unwrap_or_else(PoisonError::into_inner) = tuning;
        Ok(())
    }

    /// What a variant needs and this device lacks, if anything.
    fn lacks(&self, variant: Variant) -> Option<&'static str> {
        variant.lacks(self.has_subgroups(), self.matrix_units())
    }

    fn has_subgroups(&self) -> bool {
        self.device().features().contains(Features::SUBGROUP)
    }

    /// The kernel for a product: from the table, or else the default.
    fn variant(
        &self,
        format: Format,
        (rows, cols): (usize, usize),
        precision: Precision,
        batch: usize,
    ) -> Variant {
        let products = ProductClass::of(format, (rows, cols), batch);
        let tuning = self.shared.tuning.read().unwrap_or_else(PoisonError::into_inner);
        // Clones share a table, but one may lack matrix units that another has.
        let fits = |(known, variant): &(ProductClass, Variant)| {
            *known == products && variant.precision() == precision && self.lacks(*variant).is_none()
        };
        if let Some((_, variant)) = tuning.choices().find(fits) {
            return variant;
        }
        let form = self.default_form(format, (rows, cols), precision, batch);
        let variant = Variant::new(precision, form);
        variant.with_split_k(self.default_split_k(variant, format, (rows, cols), batch))
    }

    /// How many slices the columns are divided into by default.
    fn default_split_k(
        &self,
        variant: Variant,
        format: Format,
        (rows, cols): (usize, usize),
        batch: usize,
    ) -> usize {
        // Its processors are as many as its threads, and all have work.
        if self.is_software_adapter() {
            return 1;
        }
        let kernel = Kernel::new(self, variant, format, cols, batch);
        let groups = kernel.groups(rows, batch);
        let (busy, least_cols) = match kernel {
            Kernel::Cooperative(_) | Kernel::Decoded(_) => {
                return units_split_k(groups, (rows, cols), batch);
            }
            Kernel::Matvec(kernel) => (BUSY_GROUPS, LEAST_LANE_COLS * kernel.lanes.least()),
            Kernel::Tile(_) if self.maker() == Maker::Nvidia => (BUSY_TILES, LEAST_TILE_COLS),
            Kernel::Tile(_) => (BUSY_GROUPS, LEAST_TILE_COLS),
        };
        split_k_for(groups, busy, cols, least_cols)
    }

    fn maker(&self) -> Maker {
        let vendor = self.device().adapter_info().vendor;
        match vendor {
            _ if self.is_software_adapter() => Maker::Software,
            NVIDIA if self.has_subgroups() => Maker::Nvidia,
            _ => Maker::Other,
        }
    }

    fn default_form(
        &self,
        format: Format,
        (rows, cols): (usize, usize),
        precision: Precision,
        batch: usize,
    ) -> Form {
        let (maker, has_subgroups) = (self.maker(), self.has_subgroups());
        let defaults = DEFAULTS.iter().find(|of| (of.maker, of.has_subgroups) == (maker, has_subgroups));
        let defaults = defaults.expect("there are defaults for each kind of adapter");
        let is_int8 = precision == Precision::Int8;
        let f16_fits = || f16_activations::bytes(cols, batch) <= self.max_binding_bytes();
        let units = self.matrix_units().filter(|_| maker == Maker::Nvidia && is_int8 && f16_fits());
        let whole = |units| Kernel::Cooperative(Cooperative { units, split_k: 1 });
        let unit_groups = units.map_or(0, |units| whole(units).groups(rows, batch));
        let is_short_block = format.info().block_weights <= SHORT_BLOCK;
        let is_interleaved = self.weight_textures() && interleaved_rows(format) > 1;
        let thread_per_row =
            self.software_adapter().is_some_and(|adapter| adapter.thread_per_row(cols, is_interleaved));
        match batch {
            ..=1 if thread_per_row => ThreadPerRow(if is_short_block { 8 } else { 4 }),
            ..=1 if is_short_block && !is_int8 && !format.is_float() => defaults.one_of_short_exact,
            ..=1 if is_short_block => defaults.one_of_short_blocks,
            ..=1 => defaults.one,
            2..=8 if is_int8 => defaults.few,
            2..=8 => defaults.few_exact,
            UNITS_VECTORS.. if unit_groups >= UNITS_GROUPS => Form::Cooperative,
            _ => defaults.many,
        }
    }
}

/// The driver's name and version.
pub(super) fn driver(gpu: &Gpu) -> String {
    let info = gpu.device().adapter_info();
    format!("{} {}", info.driver, info.driver_info).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_k_is_for_few_and_long_rows() {
        // Subgroups of 32 that share 4 rows, two to a workgroup.
        let of_rows =
            |rows: u64, cols| split_k_for(rows.div_ceil(8), BUSY_GROUPS, cols, 32 * LEAST_LANE_COLS);
        assert_eq!([64, 256, 512, 1024].map(|rows| of_rows(rows, 65536)), [8, 8, 4, 1]);
        assert_eq!([4096, 8191, 8192, 14336, 32768].map(|cols| of_rows(64, cols)), [1, 1, 2, 2, 8]);
        let of_units = |rows: usize, batch: usize| {
            units_split_k((rows.div_ceil(128) * batch.div_ceil(128)) as u64, (rows, 4096), batch)
        };
        // As measured on an H100: 128 tiles keep it busy, 160 are two waves.
        assert_eq!([1024, 4096, 5120, 6144, 28672].map(|rows| of_units(rows, 512)), [4, 1, 4, 2, 1]);
        assert_eq!([1024, 4096, 5120].map(|rows| of_units(rows, 256)), [8, 2, 1]);
        let of_tiles = |tiles, cols| split_k_for(tiles, BUSY_GROUPS, cols, LEAST_TILE_COLS);
        assert_eq!([1, 64, 127, 128].map(|tiles| of_tiles(tiles, 4096)), [8, 4, 2, 1]);
        assert_eq!([576, 1536, 2048].map(|cols| of_tiles(1, cols)), [1, 2, 4]);
    }
}
