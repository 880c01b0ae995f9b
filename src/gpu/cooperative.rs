//! The kernel that multiplies tiles by a GPU's matrix units, through cooperative matrices of f16: for many vectors in eight bits.

use super::matrix::{Program, Shard, Work};
use super::matvec::EXAMPLES;
use super::op::Dispatch;
use crate::Format;
use wgpu::{CooperativeMatrixProperties, CooperativeScalarType, Features};

/// Of a workgroup: more than WebGPU promises, as is its memory.
pub(super) const MOST_INVOCATIONS: u32 = 512;
/// Bytes of workgroup memory of the largest tile there is.
pub(super) const WORKGROUP_BYTES: u32 = 48 << 10;

/// What the kernel needs of a device.
pub(super) const FEATURES: Features =
    Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(Features::SHADER_F16).union(Features::SUBGROUP);

/// The matrix units of an adapter, as far as the kernel is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MatrixUnits {
    /// Rows, columns and vectors that they multiply at once: 8 or 16.
    side: usize,
    /// Subgroups of a workgroup beside each other, and as many below, that have sums of two matrices by two: 4 or 2.
    subgroups_beside: usize,
    /// Invocations of a workgroup, which are so many subgroups at least.
    workgroup: u64,
    /// Whether they load matrices from memory of four numbers each.
    quads: bool,
}

impl MatrixUnits {
    /// Those of `adapter`, if they multiply squares of f16 and add up in f32, as a device with these limits can use them.
    pub(super) fn of(adapter: &wgpu::Adapter, limits: &wgpu::Limits) -> Option<Self> {
        let does = |side: u32| {
            move |has: &CooperativeMatrixProperties| {
                [has.m_size, has.n_size, has.k_size] == [side; 3]
                    && (has.ab_type, has.cr_type) == (CooperativeScalarType::F16, CooperativeScalarType::F32)
            }
        };
        let all = adapter.cooperative_matrix_properties();
        let side = [16, 8].into_iter().find(|&side| all.iter().any(does(side)))? as usize;
        let info = adapter.get_info();
        let quads = info.backend == wgpu::Backend::Vulkan;
        let sizes = [4, 2].map(|subgroups_beside| {
            let workgroup = (subgroups_beside * subgroups_beside) as u64 * u64::from(info.subgroup_max_size);
            Self { side, subgroups_beside, workgroup, quads }
        });
        let fits = |units: &Self| {
            units.workgroup <= MOST_INVOCATIONS.min(limits.max_compute_invocations_per_workgroup).into()
                && units.workgroup_bytes() <= limits.max_compute_workgroup_storage_size as usize
                && units.items() <= MOST_ITEMS
        };
        sizes.into_iter().find(fits).filter(|_| adapter.features().contains(FEATURES))
    }

    /// Rows, and vectors, of a tile.
    fn tile(self) -> usize {
        2 * self.subgroups_beside * self.side
    }

    /// Halves of parts of rows that an invocation loads at once.
    fn items(self) -> usize {
        (4 * self.tile()).div_ceil(self.workgroup as usize)
    }

    /// As the kernel declares it: a tile of rows and one of vectors in f16, and a matrix of eight subgroups, or of all, in f32.
    fn workgroup_bytes(self) -> usize {
        let storers = (self.subgroups_beside * self.subgroups_beside).min(8);
        2 * self.tile() * 2 * STRIDE + 4 * storers * self.side * self.side
    }
}

/// Columns of two steps, which take turns.
const STEP: usize = 128;
/// Numbers from a row to the next in workgroup memory.
const STRIDE: usize = 72;
/// Loads that the kernel has text for.
const MOST_ITEMS: usize = 2;

/// The kernel on a device that has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cooperative {
    pub(super) units: MatrixUnits,
    /// In which the columns of the matrix are divided, for workgroups of their own.
    pub(super) spans: usize,
}

impl Cooperative {
    pub(super) fn program(self, format: Format, bias: bool) -> Program {
        let Self { units, spans } = self;
        let mut names = vec!["CODES", "INT8"];
        let mut form = Vec::new();
        let optional = [
            (units.side == 8, "SIDE8", "side8"),
            (units.quads, "QUADS", "quads"),
            (bias, "BIAS", "bias"),
            (spans > 1, "SPLIT", "split"),
        ];
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
            constants: vec![("SUBGROUPS_BESIDE", units.subgroups_beside), ("ITEMS", units.items())],
        }
    }

    /// The same with matrices that are loaded from single numbers, as on Metal.
    pub(super) fn with_single_numbers(self) -> Self {
        Self { units: MatrixUnits { quads: false, ..self.units }, ..self }
    }

    /// What it takes to multiply `rows` rows by `batch` vectors.
    pub(super) fn dispatch(self, rows: usize, batch: usize) -> Dispatch {
        let tile = self.units.tile();
        let groups = rows.div_ceil(tile) as u64;
        Dispatch { count: groups, groups, tiles: (batch.div_ceil(tile) * self.spans) as u64 }
    }

    /// What it takes to multiply a shard by `batch` vectors.
    pub(super) fn work(self, shard: &Shard, batch: usize, all_rows: usize) -> Work {
        let dispatch = self.dispatch(shard.rows as usize, batch);
        Work { dispatch, batch, all_rows: all_rows as u32, picks: 1, experts: 1, spans: self.spans }
    }

    /// Most additions that one weight's product goes through on its way into the sum, for rows of `cols` weights.
    pub(super) fn longest_path(self, cols: usize) -> usize {
        STEP * cols.div_ceil(STEP).div_ceil(self.spans) + self.spans - 1
    }
}

/// What a compiler elsewhere should see: formats of each kind, for the matrices of NVIDIA, AMD and Apple.
pub(super) fn programs() -> impl Iterator<Item = Program> {
    let units = [
        MatrixUnits { side: 16, subgroups_beside: 4, workgroup: 512, quads: true },
        MatrixUnits { side: 16, subgroups_beside: 2, workgroup: 256, quads: true },
        MatrixUnits { side: 8, subgroups_beside: 4, workgroup: 512, quads: false },
    ];
    let forms = units.into_iter().map(|units| Cooperative { units, spans: 1 });
    let forms = forms.chain([Cooperative { units: units[0], spans: 4 }]);
    forms.flat_map(|form| {
        let formats = EXAMPLES.into_iter().filter(|format| !format.is_float());
        formats.map(move |format| form.program(format, false))
    })
}
