//! The matrix units of an adapter.

use wgpu::{CooperativeMatrixProperties, CooperativeScalarType, Features};

/// Of a workgroup: more than WebGPU promises, as is its memory.
pub(in crate::gpu) const MOST_INVOCATIONS: u32 = 512;
/// Bytes of workgroup memory of the largest tile there is.
pub(in crate::gpu) const WORKGROUP_BYTES: u32 = 48 << 10;

/// What the kernel needs of a device.
pub(in crate::gpu) const FEATURES: Features =
    Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(Features::SHADER_F16).union(Features::SUBGROUP);

/// The matrix units of an adapter, as far as the kernel is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gpu) struct MatrixUnits {
    /// Rows, columns and vectors that they multiply at once: 8 or 16.
    pub(super) side: usize,
    /// Subgroups of a workgroup beside each other, and as many below, that have sums of two matrices by two: 4 or 2.
    pub(super) subgroups_beside: usize,
    /// Invocations of a workgroup, which are so many subgroups at least.
    pub(super) workgroup: u64,
    /// Whether they load matrices from memory of four numbers each.
    pub(super) quads: bool,
}

impl MatrixUnits {
    /// Those of `adapter`, if they multiply squares of f16 and add up in f32, as a device with these limits can use them.
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

    /// The same with matrices that are loaded from memory of single numbers, as on Metal.
    pub(super) fn with_scalar_loads(self) -> Self {
        Self { quads: false, ..self }
    }

    /// Rows, and vectors, of a tile.
    pub(super) fn tile(self) -> usize {
        2 * self.subgroups_beside * self.side
    }

    /// Halves of parts of rows that an invocation loads at once.
    pub(super) fn items(self) -> usize {
        (4 * self.tile()).div_ceil(self.workgroup as usize)
    }

    /// As the kernel declares it: a tile of rows and one of vectors in f16, and a matrix of eight subgroups, or of all, in f32.
    fn workgroup_bytes(self) -> usize {
        let storers = (self.subgroups_beside * self.subgroups_beside).min(8);
        2 * self.tile() * 2 * STRIDE + 4 * storers * self.side * self.side
    }
}

/// Numbers from a row to the next in workgroup memory.
const STRIDE: usize = 72;
/// Loads that the kernel has text for.
const MOST_ITEMS: usize = 2;
