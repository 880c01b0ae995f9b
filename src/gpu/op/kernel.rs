//! Compute kernels of an app, recorded like the library's operations.

use super::Op;
use super::range::Range;
use super::step::Step;
use crate::gpu::Gpu;
use crate::gpu::shader::binding::{Binding, BindingKind};
use crate::gpu::shader::params::MAX_WORKGROUPS;
use crate::gpu::shader::pipeline::{Arithmetic, Pipeline};
use crate::{Error, Result};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use wgpu::{BufferBinding, BufferUsages};

pub use crate::gpu::shader::binding::Access;

/// A compute shader of an app. Prepared on buffers, it is an [`Op`] like any other.
///
/// ```
/// use qmill::Gpu;
/// use qmill::gpu::{Access, DeviceChoice, Kernel};
///
/// let wgsl = "
///     @group(0) @binding(0) var<uniform> factor: f32;
///     @group(0) @binding(1) var<storage, read_write> x: array<f32>;
///     @compute @workgroup_size(64)
///     fn main(@builtin(global_invocation_id) id: vec3<u32>) {
///         if (id.x < arrayLength(&x)) { x[id.x] *= factor; }
///     }";
/// if let Ok(gpu) = Gpu::open(&DeviceChoice::Auto, None) {
///     let kernel = Kernel::new(&gpu, "scale", wgsl, &[Access::ReadWrite])?;
///     // kernel.prepare(&factor, &[x], [groups, 1, 1])? is an Op.
/// }
/// # Ok::<(), qmill::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Kernel {
    gpu: Gpu,
    pipeline: Arc<Pipeline>,
    bindings: usize,
}

impl Kernel {
    /// Compiles `wgsl`, unless the same text was compiled before under this name. The entry point is `main`.
    ///
    /// Group 0 has a uniform buffer at binding 0 and storage buffers at 1, 2, 3, … with the accesses
    /// `access`. Workgroup memory is not zeroed. Fails with [`Error::Device`] if the shader is invalid, has
    /// other bindings, or exceeds the device's limits.
    pub fn new(gpu: &Gpu, name: &str, wgsl: &str, access: &[Access]) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        (wgsl, access).hash(&mut hasher);
        let key = format!("{name}.{:016x}", hasher.finish());
        // The names of an app's variables are unknown.
        let variables = (1..).map(|number| Binding::new(number, ""));
        let bindings: Vec<_> = variables.zip(access.iter().copied().map(BindingKind::Storage)).collect();
        let pipeline = gpu.pipeline(&key, &bindings, Arithmetic::Unknown, |_| Ok(wgsl.to_owned()))?;
        Ok(Self { gpu: gpu.clone(), pipeline, bindings: access.len() })
    }

    /// Prepares the kernel on a uniform buffer and storage buffers, for a number of workgroups in each
    /// dimension.
    ///
    /// The operation keeps the buffers alive. Fails with [`Error::Number`] if the number of storage buffers
    /// does not match or there are more than 65,535 workgroups in a dimension, with [`Error::Misaligned`] and
    /// [`Error::Usage`] for an unsuitable buffer, and with [`Error::Device`] if a buffer is shorter than the
    /// shader requires.
    pub fn prepare(
        &self,
        uniform: &BufferBinding,
        storage: &[BufferBinding],
        groups: [u32; 3],
    ) -> Result<Op> {
        if storage.len() != self.bindings {
            let (needed, found) = (self.bindings.to_string(), storage.len() as u64);
            return Err(Error::Number { what: "the number of storage buffers", needed, found });
        }
        if let Some(&found) = groups.iter().find(|&&groups| groups > MAX_WORKGROUPS) {
            let needed = format!("at most {MAX_WORKGROUPS}");
            return Err(Error::Number { what: "the number of workgroups", needed, found: u64::from(found) });
        }
        let device = self.gpu.device();
        let alignment = u64::from(device.limits().min_storage_buffer_offset_alignment);
        for binding in storage {
            Range::new("a storage buffer", binding, 0).check(alignment)?;
        }
        if !uniform.buffer.usage().contains(BufferUsages::UNIFORM) {
            let found = format!("{:?}", uniform.buffer.usage());
            return Err(Error::Usage { name: "the uniform buffer", found });
        }
        let bindings = std::iter::once(uniform).chain(storage).zip(0..);
        let entries: Vec<_> = bindings
            .map(|(buffer, binding)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(buffer.clone()),
            })
            .collect();
        let bind_group = self.gpu.bind_group(&self.pipeline, &entries)?;
        Ok(Op::new([Step { pipeline: self.pipeline.clone(), bind_group, groups }]))
    }
}
