//! Opening a device: an adapter by name, or the device of an app.

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
    /// Opens the adapter that `choice` names; [`Device::open`](crate::Device::open) takes the CPU where it
    /// names that.
    ///
    /// Pipelines are kept in a file in `cache_folder` where the backend can store them (Vulkan), which makes the next
    /// start faster. Fails with [`Error::NoAdapter`], also where `choice` is the CPU or `auto` finds no GPU,
    /// and with what the driver reports.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(choice: &DeviceChoice, cache_folder: Option<&Path>) -> Result<Self> {
        pollster::block_on(Self::open_as(Wait::Blocking, choice, cache_folder))
    }

    /// [`Gpu::open`], to be awaited. What it compiles is compiled in a thread of its own, but loading a
    /// driver and opening the device block, as wgpu's own calls do.
    pub async fn open_async(choice: &DeviceChoice, cache_folder: Option<&Path>) -> Result<Self> {
        Self::open_as(Wait::Async, choice, cache_folder).await
    }

    async fn open_as(wait: Wait, choice: &DeviceChoice, cache_folder: Option<&Path>) -> Result<Self> {
        Self::open_adapter(&adapter::chosen(choice).await?, wait, cache_folder).await
    }

    /// Opens what `choice` names; `None` where that is the CPU, which `auto` takes where there is no GPU.
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

    /// Uses a device that an app has already, with whatever features and limits it has;
    /// [`Gpu::device_descriptor`] says which are of use.
    ///
    /// Its error and lost-device handlers stay as they are. On Vulkan, a device with `PASSTHROUGH_SHADERS` gets kernels that
    /// are a third shorter. Runs two small kernels to see that the device rounds as it
    /// should, and waits for them. Products take no matrix units: [`Gpu::from_device_with`] takes the
    /// adapter, which knows them.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        Self::from_device_with(device, queue, GpuOptions::new())
    }

    /// [`Gpu::from_device`] with what else an app has.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_device_with(device: wgpu::Device, queue: wgpu::Queue, options: GpuOptions) -> Result<Self> {
        pollster::block_on(Self::of_device(Wait::Blocking, device, queue, options))
    }

    /// [`Gpu::from_device_with`], to be awaited. Nothing blocks: what it compiles is compiled in a thread of
    /// its own.
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

    /// [`Gpu::from_device`] with other shaders.
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
        // A device that cannot convert at all has said so in an error of its own.
        let has_exact_f16 = match self_test::has_exact_f16(&gpu, wait).await {
            Err(Error::Device { .. }) => false,
            has_exact_f16 => has_exact_f16?,
        };
        let tests = Tests { misrounding, has_exact_f16 };
        gpu.shared.tests.get_or_init(|| tests);
        Ok(gpu)
    }

    /// What the kernels need of a device at least, for an app that requests one: WebGPU's default limits, and the
    /// adapter's own where larger buffers help, or larger workgroups with matrix units.
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

    /// Opens a device with what qmill uses of it.
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

    /// What an app had better request of an adapter, to merge into a descriptor of its own: of the features
    /// that make kernels faster those that the adapter has, and [`Gpu::required_limits`].
    ///
    /// These are `SUBGROUP` (lanes add up without a barrier), `PASSTHROUGH_SHADERS` on Vulkan (shorter
    /// kernels), `TIMESTAMP_QUERY` (profiles), `PIPELINE_CACHE` (faster starts), and where the adapter has
    /// matrix units that are of use `EXPERIMENTAL_COOPERATIVE_MATRIX` and `SHADER_F16`. None is required: on
    /// a device without them products take other kernels. Experimental features are enabled only with matrix
    /// units; an app's own shaders must then keep to what wgpu says of these.
    ///
    /// ```no_run
    /// # use qmill::{Gpu, gpu::GpuOptions, wgpu};
    /// # async fn f(adapter: wgpu::Adapter) -> Result<Gpu, Box<dyn std::error::Error>> {
    /// let mut descriptor = Gpu::device_descriptor(&adapter);
    /// // What the app needs itself.
    /// descriptor.required_features |= wgpu::Features::TEXTURE_COMPRESSION_BC & adapter.features();
    /// descriptor.required_limits = descriptor.required_limits.or_better_values_from(&wgpu::Limits::default());
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

#[expect(unsafe_code, reason = "wgpu has cooperative matrices as an experiment")]
fn experimental(is_wanted: bool) -> wgpu::ExperimentalFeatures {
    if !is_wanted {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: of what is an experiment, only cooperative matrices are asked for, and one kernel has them: it loads and stores
    // whole matrices within its arrays, in control flow that is uniform, and multiplies them in sizes that the adapter lists.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}
