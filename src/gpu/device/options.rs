//! Options for a device that an app has opened.

use super::error::{Pending, guarded};
use crate::Result;
use crate::gpu::shader::pipeline::Pipelines;
use std::path::PathBuf;

/// Options of [`Gpu::from_device_with`](crate::Gpu::from_device_with).
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
    /// No adapter and no cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The device's adapter. Lets products use its matrix units, as
    /// [`Gpu::with_matrix_units`](crate::Gpu::with_matrix_units) describes.
    pub fn adapter(self, adapter: &wgpu::Adapter) -> Self {
        Self { adapter: Some(adapter.clone()), ..self }
    }

    /// Compiles pipelines with the app's own cache. The cache must belong to this device; the app stores it.
    pub fn pipeline_cache(self, cache: wgpu::PipelineCache) -> Self {
        Self { cache: Cache::Own(cache), ..self }
    }

    /// Caches compiled pipelines in a file in this folder, named after the adapter, if the device has
    /// `PIPELINE_CACHE` (Vulkan).
    ///
    /// The file is read when the device is opened and written by
    /// [`Gpu::store_pipelines`](crate::Gpu::store_pipelines). Only the user may have write access to the
    /// folder.
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
