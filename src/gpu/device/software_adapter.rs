//! The policy for adapters that compute on the CPU. GPUs use none of it.

use wgpu::{DeviceType, Features};

/// Bytes of a uniform buffer that any device can bind.
pub(in crate::gpu) const UNIFORM_BYTES: u64 = 64 << 10;
/// Below this length, a row is not worth sharing among lanes: their sum costs more than it saves.
const SHORT_ROW: usize = 2048;

/// The policy for an adapter that computes on the CPU. On these, a barrier is the most expensive operation,
/// idle lanes are lost time, and neighbouring lanes are the elements of one CPU vector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SoftwareAdapter {
    weight_textures: bool,
    uniform_activations: bool,
    broadcasts: bool,
}

impl SoftwareAdapter {
    /// The policy for this device; `None` for a GPU.
    pub(in crate::gpu) fn of(device: &wgpu::Device) -> Option<Self> {
        let (info, limits) = (device.adapter_info(), device.limits());
        if info.device_type != DeviceType::Cpu {
            return None;
        }
        // Mesa's adapter. It loads texels and uniforms as vectors, but loops over lanes for loads from
        // storage buffers.
        let is_llvmpipe = info.driver == "llvmpipe";
        let binding_bytes = limits
            .max_uniform_buffer_binding_size
            .min(limits.max_storage_buffer_binding_size)
            .min(limits.max_buffer_size);
        let has_subgroups_of_8 = device.features().contains(Features::SUBGROUP)
            && (info.subgroup_min_size, info.subgroup_max_size) == (8, 8);
        Some(Self {
            weight_textures: is_llvmpipe,
            uniform_activations: is_llvmpipe && binding_bytes >= UNIFORM_BYTES,
            broadcasts: is_llvmpipe && has_subgroups_of_8,
        })
    }

    /// The policy of software adapters other than llvmpipe, with weights in storage buffers; for tests.
    pub(super) fn without_textures() -> Self {
        Self { weight_textures: false, uniform_activations: false, broadcasts: false }
    }

    /// Whether products read weights from textures.
    pub(crate) fn weight_textures(self) -> bool {
        self.weight_textures
    }

    /// Whether products read int8 activations from a uniform buffer, where they fit into [`UNIFORM_BYTES`].
    pub(in crate::gpu) fn uniform_activations(self) -> bool {
        self.uniform_activations
    }

    /// Whether threads that compute whole rows load activations for each other, eight per subgroup, one for
    /// each lane of AVX2. A broadcast is a single instruction there.
    pub(in crate::gpu) fn broadcasts(self) -> bool {
        self.broadcasts
    }

    /// Whether one thread computes whole rows of `cols` weights for a single vector. If rows are
    /// `interleaved` block by block, threads of a subgroup read neighbouring memory.
    #[expect(clippy::unused_self, reason = "a policy for software adapters only")]
    pub(in crate::gpu) fn thread_per_row(self, cols: usize, interleaved: bool) -> bool {
        cols < SHORT_ROW || interleaved
    }
}
