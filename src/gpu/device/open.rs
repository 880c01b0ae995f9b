//! Opens an adapter, or takes a device that an app has opened.

use super::adapter::{self, Adapter, DeviceChoice};
use super::context::{Gpu, Tests};
use super::error::Lost;
use super::options::GpuOptions;
use super::self_test;
use super::wait::Wait;
use crate::gpu::matmul::matrix_units::{self, MatrixUnits};
use crate::gpu::shader::pipeline::Pipelines;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::shader::pipeline::Rewrite;
use crate::{Error, Result};
use std::path::Path;

impl Gpu {
    /// Opens the adapter that `choice` selects. [`Device::open`](crate::Device::open) falls back to the CPU.
    ///
    /// With `cache_folder`, pipelines are read from a file there if the backend supports it (Vulkan), which
    /// makes starts faster; [`Gpu::store_pipelines`] writes the file. Fails with [`Error::NoAdapter`] if
    /// there is no such adapter, `choice` is the CPU or `auto` finds no GPU, and with errors of the driver.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(choice: &DeviceChoice, cache_folder: Option<&Path>) -> Result<Self> {
        pollster::block_on(Self::open_as(Wait::Blocking, choice, cache_folder))
    }

    /// The `async` form of [`Gpu::open`]. Shaders are compiled in a thread of their own, but loading a driver
    /// and opening the device block, as wgpu's own calls do.
    pub async fn open_async(choice: &DeviceChoice, cache_folder: Option<&Path>) -> Result<Self> {
        Self::open_as(Wait::Async, choice, cache_folder).await
    }

    async fn open_as(wait: Wait, choice: &DeviceChoice, cache_folder: Option<&Path>) -> Result<Self> {
        Self::open_adapter(&adapter::chosen(choice).await?, wait, cache_folder).await
    }

    /// Opens the adapter that `choice` selects; `None` for the CPU, which `auto` selects where there is no
    /// GPU.
    pub(crate) async fn open_unless_cpu(
        wait: Wait,
        choice: &DeviceChoice,
        cache_folder: Option<&Path>,
    ) -> Result<Option<Self>> {
        if *choice == DeviceChoice::Cpu {
            return Ok(None);
        }
        match adapter::choose(choice).await?.0 {
            Some(adapter) => Ok(Some(Self::open_adapter(&adapter, wait, cache_folder).await?)),
            None => Ok(None),
        }
    }

    /// Uses a device that an app has opened, with any features and limits. [`Gpu::device_descriptor`] lists
    /// the useful ones.
    ///
    /// The device's error and lost-device handlers stay unchanged. On Vulkan, `PASSTHROUGH_SHADERS` makes
    /// kernels a third shorter. Runs two small kernels, the self-tests, and waits for them. Products do not
    /// use matrix units; for those, pass the adapter to [`Gpu::from_device_with`]. Fails with errors of the
    /// device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        Self::from_device_with(device, queue, GpuOptions::new())
    }

    /// [`Gpu::from_device`] with options: the adapter, a pipeline cache.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_device_with(device: wgpu::Device, queue: wgpu::Queue, options: GpuOptions) -> Result<Self> {
        pollster::block_on(Self::of_device(Wait::Blocking, device, queue, options))
    }

    /// The `async` form of [`Gpu::from_device_with`]. It does not block: shaders are compiled in a thread of
    /// their own.
    pub async fn from_device_async(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: GpuOptions,
    ) -> Result<Self> {
        Self::of_device(Wait::Async, device, queue, options).await
    }

    async fn of_device(
        wait: Wait,
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: GpuOptions,
    ) -> Result<Self> {
        let (lost, pipelines) = (Lost::of_host(&device), options.pipelines(&device)?);
        let gpu = Self::new(wait, device, queue, lost, pipelines).await?;
        Ok(match &options.adapter {
            Some(adapter) => gpu.with_matrix_units(adapter),
            None => gpu,
        })
    }

    /// [`Gpu::from_device`] with rewritten shaders, for tests that plant faults.
    #[cfg(not(target_arch = "wasm32"))]
    #[doc(hidden)]
    pub fn from_device_rewriting(device: wgpu::Device, queue: wgpu::Queue, rewrite: Rewrite) -> Result<Self> {
        let pipelines = Pipelines::rewriting(rewrite);
        pollster::block_on(Self::new(Wait::Blocking, device, queue, Lost::default(), pipelines))
    }

    async fn new(
        wait: Wait,
        device: wgpu::Device,
        queue: wgpu::Queue,
        lost: Lost,
        pipelines: Pipelines,
    ) -> Result<Self> {
        let gpu = Self::untested(device, queue, lost, pipelines);
        let misrounding = self_test::run(&gpu, wait).await?;
        // A device without this conversion reports an error.
        let has_exact_f16 = match self_test::has_exact_f16(&gpu, wait).await {
            Err(Error::Device { .. }) => false,
            has_exact_f16 => has_exact_f16?,
        };
        let tests = Tests { misrounding, has_exact_f16 };
        gpu.shared.tests.get_or_init(|| tests);
        Ok(gpu)
    }

    /// The limits to request for a device: WebGPU's defaults, and the adapter's own limits where larger
    /// buffers help, or larger workgroups with matrix units.
    pub fn required_limits(adapter: &wgpu::Adapter) -> wgpu::Limits {
        let has = adapter.limits();
        let usual = wgpu::Limits::default();
        let bytes = has.max_compute_workgroup_storage_size.min(matrix_units::WORKGROUP_BYTES);
        let invocations = has.max_compute_invocations_per_workgroup.min(matrix_units::MOST_INVOCATIONS);
        wgpu::Limits {
            max_compute_workgroup_storage_size: bytes.max(usual.max_compute_workgroup_storage_size),
            max_compute_invocations_per_workgroup: invocations
                .max(usual.max_compute_invocations_per_workgroup),
            max_compute_workgroup_size_x: invocations.max(usual.max_compute_workgroup_size_x),
            max_buffer_size: has.max_buffer_size,
            max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
            ..usual
        }
    }

    /// Opens a device with the features and limits that qmill uses.
    async fn open_adapter(adapter: &Adapter, wait: Wait, cache_folder: Option<&Path>) -> Result<Gpu> {
        let info = adapter.handle.get_info();
        let mut descriptor = Gpu::device_descriptor(&adapter.handle);
        descriptor.required_features.set(
            wgpu::Features::PIPELINE_CACHE,
            cache_folder.is_some() && adapter.handle.features().contains(wgpu::Features::PIPELINE_CACHE),
        );
        descriptor.memory_hints = wgpu::MemoryHints::MemoryUsage;
        let (device, queue) = adapter
            .handle
            .request_device(&descriptor)
            .await
            .map_err(|error| Error::Device { device: info.name.clone(), message: error.to_string() })?;
        let lost = Lost::of(&device);
        let options = match cache_folder {
            Some(folder) => GpuOptions::new().cache_folder(folder),
            None => GpuOptions::new(),
        };
        let pipelines = options.pipelines(&device)?;
        Ok(Gpu::new(wait, device, queue, lost, pipelines).await?.with_matrix_units(&adapter.handle))
    }

    /// The features and limits that qmill can use on this adapter, for an app to merge into its own
    /// descriptor: optional features that make kernels faster, as far as the adapter has them, and
    /// [`Gpu::required_limits`].
    ///
    /// The features are `SUBGROUP` (sums across lanes without a barrier), `PASSTHROUGH_SHADERS` on Vulkan
    /// (shorter kernels), `TIMESTAMP_QUERY` (profiles), `PIPELINE_CACHE` (faster starts), and on adapters
    /// with suitable matrix units `EXPERIMENTAL_COOPERATIVE_MATRIX` and `SHADER_F16`. None is required:
    /// without them, products use other kernels. Experimental features are enabled only with matrix units;
    /// the app's own shaders must then follow wgpu's rules for these.
    ///
    /// ```no_run
    /// # use qmill::{Gpu, gpu::GpuOptions, wgpu};
    /// # async fn f(adapter: wgpu::Adapter) -> Result<Gpu, Box<dyn std::error::Error>> {
    /// let mut descriptor = Gpu::device_descriptor(&adapter);
    /// // What the app itself needs.
    /// descriptor.required_features |= wgpu::Features::TEXTURE_COMPRESSION_BC & adapter.features();
    /// let own_limits = wgpu::Limits::default();
    /// descriptor.required_limits = descriptor.required_limits.or_better_values_from(&own_limits);
    /// let (device, queue) = adapter.request_device(&descriptor).await?;
    /// let gpu = Gpu::from_device_async(device, queue, GpuOptions::new().adapter(&adapter)).await?;
    /// # Ok(gpu)
    /// # }
    /// ```
    pub fn device_descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
        let mut wanted =
            wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE;
        let is_vulkan = adapter.get_info().backend == wgpu::Backend::Vulkan;
        wanted.set(wgpu::Features::PASSTHROUGH_SHADERS, is_vulkan);
        let required_limits = Self::required_limits(adapter);
        let has_matrix_units = MatrixUnits::of(adapter, &required_limits).is_some();
        if has_matrix_units {
            wanted |= matrix_units::FEATURES;
        }
        wgpu::DeviceDescriptor {
            label: Some("qmill"),
            required_features: adapter.features() & wanted,
            experimental_features: experimental(has_matrix_units),
            required_limits,
            ..wgpu::DeviceDescriptor::default()
        }
    }
}

#[expect(unsafe_code, reason = "cooperative matrices are experimental in wgpu")]
fn experimental(is_wanted: bool) -> wgpu::ExperimentalFeatures {
    if !is_wanted {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: cooperative matrices are the only experimental feature used, by one kernel. It loads and stores
    // whole matrices within its arrays, in uniform control flow, and multiplies them in sizes that the
    // adapter lists.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}
