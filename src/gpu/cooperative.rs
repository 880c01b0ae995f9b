//! The kernel that multiplies tiles by a GPU's matrix units, through cooperative matrices of f16: for many vectors in eight bits.

use super::matrix::{Program, Shard, Work};
use super::matvec::EXAMPLES;
use super::op::Dispatch;
use crate::Format;
use wgpu::{CooperativeMatrixProperties, CooperativeScalarType, Features};

/// Subgroups that have sums.
const SUBGROUPS: u64 = 4;
/// Columns that are loaded at once.
const STEP: usize = 32;
/// Of a workgroup, on any device.
const MOST_INVOCATIONS: u64 = 256;

/// What the kernel needs of a device.
pub(super) const FEATURES: Features =
    Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(Features::SHADER_F16).union(Features::SUBGROUP);

/// The matrix units of an adapter, as far as the kernel is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MatrixUnits {
    /// Rows, columns and vectors that they multiply at once: 8 or 16.
    side: usize,
    /// Invocations of a workgroup, which are four subgroups at least.
    workgroup: u64,
    /// Whether they load matrices from memory of four numbers each.
    quads: bool,
}

impl MatrixUnits {
    /// Those of `adapter`, if they multiply squares of f16 and add up in f32.
    pub(super) fn of(adapter: &wgpu::Adapter) -> Option<Self> {
        let does = |side: u32| {
            move |has: &CooperativeMatrixProperties| {
                [has.m_size, has.n_size, has.k_size] == [side; 3]
                    && (has.ab_type, has.cr_type) == (CooperativeScalarType::F16, CooperativeScalarType::F32)
            }
        };
        let all = adapter.cooperative_matrix_properties();
        let side = [16, 8].into_iter().find(|&side| all.iter().any(does(side)))?;
        let workgroup = SUBGROUPS * u64::from(adapter.get_info().subgroup_max_size);
        let quads = adapter.get_info().backend == wgpu::Backend::Vulkan;
        let units = Self { side: side as usize, workgroup, quads };
        let fits = workgroup.is_multiple_of(units.tile() as u64) && workgroup <= MOST_INVOCATIONS;
        (adapter.features().contains(FEATURES) && fits).then_some(units)
    }

    /// Rows, and vectors, of a tile.
    fn tile(self) -> usize {
        4 * self.side
    }
}

/// The kernel on a device that has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cooperative(pub(super) MatrixUnits);

impl Cooperative {
    pub(super) fn program(self, format: Format, bias: bool) -> Program {
        let Self(units) = self;
        let mut names = vec!["CODES", "INT8"];
        let mut form = vec!["int8"];
        let optional =
            [(units.side == 8, "SIDE8", "side8"), (units.quads, "QUADS", "quads"), (bias, "BIAS", "bias")];
        for (is_there, name, part) in optional {
            names.extend(is_there.then_some(name));
            form.extend(is_there.then_some(part));
        }
        Program {
            kernel: "matmul_cooperative",
            form: form.join("."),
            format,
            ragged: false,
            native_half: true,
            workgroup: units.workgroup,
            band: 1,
            names,
            constants: Vec::new(),
        }
    }

    /// The same with matrices that are loaded from single numbers, as on Metal.
    pub(super) fn with_single_numbers(self) -> Self {
        Self(MatrixUnits { quads: false, ..self.0 })
    }

    /// What it takes to multiply `rows` rows by `batch` vectors.
    pub(super) fn dispatch(self, rows: usize, batch: usize) -> Dispatch {
        let tile = self.0.tile();
        let groups = rows.div_ceil(tile) as u64;
        Dispatch { count: groups, groups, tiles: batch.div_ceil(tile) as u64 }
    }

    /// What it takes to multiply a shard by `batch` vectors.
    pub(super) fn work(self, shard: &Shard, batch: usize, all_rows: usize) -> Work {
        let dispatch = self.dispatch(shard.rows as usize, batch);
        Work { dispatch, batch, all_rows: all_rows as u32, picks: 1, experts: 1, spans: 1 }
    }

    /// Most additions that one weight's product goes through on its way into the sum, for rows of `cols` weights.
    pub(super) fn longest_path(cols: usize) -> usize {
        cols.next_multiple_of(STEP)
    }
}

/// What a compiler elsewhere should see: formats of each kind, for AMD's matrices and for Apple's.
pub(super) fn programs() -> impl Iterator<Item = Program> {
    let units = [
        MatrixUnits { side: 16, workgroup: 256, quads: true },
        MatrixUnits { side: 8, workgroup: 128, quads: false },
    ];
    units.into_iter().flat_map(|units| {
        let formats = EXAMPLES.into_iter().filter(|format| !format.is_float());
        formats.map(move |format| Cooperative(units).program(format, false))
    })
}
