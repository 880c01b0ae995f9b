//! The matrix units of an adapter.

use wgpu::{CooperativeMatrixProperties, CooperativeScalarType, Features};

/// The most invocations of a workgroup. More than WebGPU guarantees, like [`WORKGROUP_BYTES`].
pub(in crate::gpu) const MOST_INVOCATIONS: u32 = 512;
/// Bytes of workgroup memory of the largest tile.
pub(in crate::gpu) const WORKGROUP_BYTES: u32 = 48 << 10;

/// The features that the kernel needs.
pub(in crate::gpu) const FEATURES: Features =
    Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(Features::SHADER_F16).union(Features::SUBGROUP);

/// The properties of an adapter's matrix units that the kernel depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MatrixUnits {
    /// The side of a matrix: 8 or 16.
    pub(crate) side: usize,
    /// A workgroup is a square of subgroups, each with 2 x 2 matrices of sums. The side of this square: 4 or
    /// 2.
    pub(crate) subgroups_beside: usize,
    /// Invocations of a workgroup, enough for these subgroups.
    pub(crate) workgroup: u64,
    /// Whether matrices can be loaded from arrays of vec4s.
    pub(crate) quads: bool,
    /// Whether subgroups may be smaller than the largest.
    pub(super) surplus: bool,
    /// The most invocations of a workgroup, and bytes of workgroup memory.
    pub(super) most_invocations: u64,
    pub(super) most_bytes: usize,
}

impl MatrixUnits {
    /// The matrix units of `adapter`, if they multiply square matrices of f16 and accumulate in f32, as far
    /// as a device with these limits can use them.
    pub(in crate::gpu) fn of(adapter: &wgpu::Adapter, limits: &wgpu::Limits) -> Option<Self> {
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
        let most_invocations = MOST_INVOCATIONS.min(limits.max_compute_invocations_per_workgroup).into();
        let surplus = info.subgroup_min_size < info.subgroup_max_size;
        let sizes = [4, 2].map(|subgroups_beside| {
            let workgroup = (subgroups_beside * subgroups_beside) as u64 * u64::from(info.subgroup_max_size);
            let most_bytes = limits.max_compute_workgroup_storage_size as usize;
            Self { side, subgroups_beside, workgroup, quads, surplus, most_invocations, most_bytes }
        });
        let fits = |units: &Self| {
            units.workgroup <= most_invocations
                && units.workgroup_bytes() <= units.most_bytes
                && units.items() <= MOST_ITEMS
        };
        sizes.into_iter().find(fits).filter(|_| adapter.features().contains(FEATURES))
    }

    /// These units with matrices loaded from arrays of scalars, and subgroups that may be smaller, as on
    /// Metal.
    pub(in crate::gpu) fn with_scalar_loads(self) -> Self {
        Self { quads: false, surplus: true, ..self }
    }

    /// The matrix units of NVIDIA, AMD and Apple, for lists of programs.
    pub(crate) fn examples() -> [Self; 3] {
        let (most_invocations, most_bytes) = (MOST_INVOCATIONS.into(), WORKGROUP_BYTES as usize);
        let nvidia = Self {
            side: 16,
            subgroups_beside: 4,
            workgroup: 512,
            quads: true,
            surplus: false,
            most_invocations,
            most_bytes,
        };
        [
            nvidia,
            Self { subgroups_beside: 2, workgroup: 256, surplus: true, ..nvidia },
            Self { side: 8, quads: false, surplus: true, ..nvidia },
        ]
    }

    /// The lanes of the largest subgroup.
    pub(super) fn lanes(self) -> u64 {
        self.workgroup / (self.subgroups_beside * self.subgroups_beside) as u64
    }

    /// The rows, and the vectors, of a tile.
    pub(super) fn tile(self) -> usize {
        2 * self.subgroups_beside * self.side
    }

    /// The half parts of rows (16 weights) that an invocation loads at once.
    pub(super) fn items(self) -> usize {
        (4 * self.tile()).div_ceil(self.workgroup as usize)
    }

    /// Workgroup memory that the kernel declares: a tile of rows and one of vectors in f16, and one f32
    /// matrix for each of up to eight subgroups.
    fn workgroup_bytes(self) -> usize {
        let storers = (self.subgroups_beside * self.subgroups_beside).min(8);
        2 * self.tile() * 2 * STRIDE + 4 * storers * self.side * self.side
    }
}

/// Numbers from one row to the next in workgroup memory.
const STRIDE: usize = 72;
/// The most items that the kernel supports.
const MOST_ITEMS: usize = 2;
