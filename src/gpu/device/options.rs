//! What an app may tell of a device that it has.

use super::error::{Pending, guarded};
use crate::Result;
use crate::gpu::shader::pipeline::Pipelines;
use std::path::PathBuf;

/// What [`Gpu::from_device_with`](super::Gpu::from_device_with) takes beside a device.
///
/// ```no_run
/// # use qmill::{Gpu, gpu::GpuOptions, wgpu};
/// # fn f(adapter: wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> qmill::Result<Gpu> {
/// Gpu::from_device_with(device, queue, GpuOptions::new().adapter(&adapter).cache_folder("cache"))
/// # }
/// ```
#[derive(Clone, Default, Debug)]
#[must_use]
pub struct GpuOptions {
    pub(super) adapter: Option<wgpu::Adapter>,
    cache: Cache,
}

/// Where compiled pipelines come from.
#[derive(Clone, Default, Debug)]
enum Cache {
    #[default]
    None,
    Folder(PathBuf),
    Own(wgpu::PipelineCache),
}

impl GpuOptions {
    /// Nothing but the device.
    pub fn new() -> Self {
        Self::default()
    }

    /// The adapter that the device is of: products may take its matrix units, as
    /// [`Gpu::with_matrix_units`](super::Gpu::with_matrix_units) says.
    pub fn adapter(self, adapter: &wgpu::Adapter) -> Self {
        Self { adapter: Some(adapter.clone()), ..self }
    }

    /// Compiles pipelines with a cache of the app's own, which is of this device and which the app stores.
    pub fn pipeline_cache(self, cache: wgpu::PipelineCache) -> Self {
        Self { cache: Cache::Own(cache), ..self }
    }

    /// Keeps compiled pipelines in a file in this folder, named after the adapter, where the device has
    /// `PIPELINE_CACHE` (Vulkan).
    ///
    /// They are read at once, and written by [`Gpu::store_pipelines`](super::Gpu::store_pipelines). The
    /// folder must be one that only the user can write.
    pub fn cache_folder(self, folder: impl Into<PathBuf>) -> Self {
        Self { cache: Cache::Folder(folder.into()), ..self }
    }

    pub(super) fn pipelines(&self, device: &wgpu::Device) -> Result<Pipelines> {
        match &self.cache {
            Cache::None => Ok(Pipelines::default()),
            Cache::Own(cache) => Ok(Pipelines::with(cache.clone())),
            Cache::Folder(folder) => {
                let info = device.adapter_info();
                let key = wgpu::util::pipeline_cache_key(&info);
                let has_feature = device.features().contains(wgpu::Features::PIPELINE_CACHE);
                let Some(file) = key.filter(|_| has_feature).map(|key| folder.join(key)) else {
                    return Ok(Pipelines::default());
                };
                guarded(device, &info.name, &Pending::default(), || Pipelines::stored(device, file))
            }
        }
    }
}
