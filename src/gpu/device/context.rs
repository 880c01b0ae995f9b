//! A device and its shared state: pipelines, codebooks, scratch memory, errors.

use super::error::{self, Lost, Pending, guarded};
#[cfg(not(target_arch = "wasm32"))]
use super::poller::Poller;
use super::software_adapter::SoftwareAdapter;
use crate::error::Misrounding;
use crate::gpu::matmul::matrix_units::{self, MatrixUnits};
use crate::gpu::matmul::tuning::Tuning;
use crate::gpu::shader::pipeline::{Missing, Pipelines};
use crate::{Error, Format, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

/// A device with its compiled kernels. Cheap to clone; clones share all state.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(in crate::gpu) shared: Arc<Shared>,
    /// The policy for adapters that compute on the CPU; `None` on a GPU.
    pub(super) software_adapter: Option<SoftwareAdapter>,
    /// The adapter's matrix units, if products may use them.
    pub(super) matrix_units: Option<MatrixUnits>,
    /// If set, missing pipelines are collected here instead of compiled.
    pub(in crate::gpu) missing: Option<Missing>,
}

#[derive(Debug)]
pub(in crate::gpu) struct Shared {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) name: String,
    pub(super) backend: wgpu::Backend,
    pub(super) lost: Lost,
    /// Errors that the device has not reported yet.
    pub(super) pending: Pending,
    /// Polls the device while tasks wait for it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) poller: Poller,
    pub(in crate::gpu) pipelines: Pipelines,
    /// Codebooks on the device, by format.
    pub(in crate::gpu) grids: Mutex<HashMap<Format, wgpu::Buffer>>,
    /// The results of the self-tests at opening.
    pub(super) tests: OnceLock<Tests>,
    /// Which kernels products use, where not the defaults.
    pub(in crate::gpu) tuning: RwLock<Tuning>,
    /// Scratch memory of products, one buffer of each kind, shared by all products.
    pub(in crate::gpu) scratch: [Mutex<Option<wgpu::Buffer>>; 3],
}

/// The results of a device's self-tests.
#[derive(Debug)]
pub(super) struct Tests {
    pub(super) misrounding: Option<Misrounding>,
    /// Whether the device converts f16 to f32 exactly.
    pub(super) has_exact_f16: bool,
}

impl Gpu {
    /// A handle to a device before its self-tests.
    pub(super) fn untested(
        device: wgpu::Device,
        queue: wgpu::Queue,
        lost: Lost,
        pipelines: Pipelines,
    ) -> Self {
        let info = device.adapter_info();
        let software_adapter = SoftwareAdapter::of(&device);
        let shared = Shared {
            name: format!("{} ({})", info.name, info.backend),
            backend: info.backend,
            device,
            queue,
            lost,
            pending: Pending::default(),
            #[cfg(not(target_arch = "wasm32"))]
            poller: Poller::default(),
            pipelines,
            grids: Mutex::default(),
            tests: OnceLock::new(),
            tuning: RwLock::default(),
            scratch: Default::default(),
        };
        Self { shared: Arc::new(shared), software_adapter, matrix_units: None, missing: None }
    }

    /// A handle whose products of many int8 vectors may use the matrix units of `adapter`, the device's
    /// adapter. NVIDIA's are used by default, others where [`Tuning`] says so.
    ///
    /// Matrix units multiply f16. This adds an error to each factor: relative, at most 1/1024; absolute, 2⁻²⁸
    /// of the largest absolute value of its row or vector. Requires the features
    /// `EXPERIMENTAL_COOPERATIVE_MATRIX`, `SHADER_F16` and `SUBGROUP`, and an adapter with 8 x 8 or 16 x 16
    /// matrices that accumulates in f32 (Vulkan, Metal); otherwise the handle is unchanged. [`Gpu::open`]
    /// does this already.
    #[must_use]
    pub fn with_matrix_units(self, adapter: &wgpu::Adapter) -> Self {
        let has_features = self.device().features().contains(matrix_units::FEATURES);
        let units = has_features.then(|| MatrixUnits::of(adapter, &self.device().limits()));
        Self { matrix_units: units.flatten(), ..self }
    }

    pub(crate) fn matrix_units(&self) -> Option<MatrixUnits> {
        self.matrix_units
    }

    /// Whether the adapter computes on the CPU, as llvmpipe and `SwiftShader` do.
    pub fn is_software_adapter(&self) -> bool {
        self.software_adapter.is_some()
    }

    /// Whether products read weights from textures.
    pub(crate) fn weight_textures(&self) -> bool {
        self.software_adapter.is_some_and(SoftwareAdapter::weight_textures)
    }

    pub(in crate::gpu) fn software_adapter(&self) -> Option<SoftwareAdapter> {
        self.software_adapter
    }

    /// A handle with weights in storage buffers, unless `in_textures` is set and the adapter prefers
    /// textures; for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_weights_in_textures(&self, in_textures: bool) -> Self {
        let software_adapter = SoftwareAdapter::of(self.device())
            .map(|adapter| if in_textures { adapter } else { SoftwareAdapter::without_textures() });
        Self { software_adapter, ..self.clone() }
    }

    /// This device with matrices for its matrix units loaded as on Metal; for tests on other backends.
    #[doc(hidden)]
    #[must_use]
    pub fn with_scalar_loads(&self) -> Self {
        Self { matrix_units: self.matrix_units.map(MatrixUnits::with_scalar_loads), ..self.clone() }
    }

    /// The adapter's name and backend, such as `AMD Radeon RX 6800 (vulkan)`.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// An operation that this device rounds differently from IEEE 754, because of which it must not quantize.
    /// `None` on every device known.
    pub fn misrounding(&self) -> Option<Misrounding> {
        self.shared.tests.get().and_then(|tests| tests.misrounding)
    }

    /// Stores the compiled pipelines for the next start, in the folder given to [`Gpu::open`] or
    /// [`GpuOptions::cache_folder`](super::options::GpuOptions::cache_folder).
    ///
    /// Failures are ignored: the next start compiles again.
    pub fn store_pipelines(&self) {
        self.shared.pipelines.store();
    }

    /// Runs `work` and returns errors that wgpu reports on this thread, or the loss of the device.
    ///
    /// In a browser, errors are reported later, by [`Gpu::settle`]. Fails with [`Error::Device`],
    /// [`Error::DeviceMemory`] and [`Error::DeviceLost`].
    pub fn guarded<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        self.check_lost()?;
        let done = guarded(&self.shared.device, self.name(), &self.shared.pending, work);
        done.map_err(|error| self.lost_or(error))
    }

    /// Waits for pending error reports and returns the first error, as [`Gpu::guarded`] does.
    ///
    /// Only a browser reports errors late. The `async` functions of this module settle before they return;
    /// await this after preparing or recording with functions that are not `async`.
    pub async fn settle(&self) -> Result<()> {
        self.shared.pending.settle(self.name()).await
    }

    pub(in crate::gpu) fn check_lost(&self) -> Result<()> {
        self.shared.lost.check(self.name())
    }

    /// Fails with [`Error::DeviceLost`] on a lost device, even if nothing reported the loss: submissions to
    /// such a device are dropped silently.
    pub(in crate::gpu) fn check_alive(&self) -> Result<()> {
        self.check_lost()?;
        let descriptor = wgpu::BufferDescriptor {
            label: Some("qmill"),
            size: wgpu::COPY_BUFFER_ALIGNMENT,
            usage: wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        };
        // Mapping memory of a lost device fails without an error report.
        let is_there = guarded(&self.shared.device, self.name(), &self.shared.pending, || {
            self.shared.device.create_buffer(&descriptor).get_mapped_range(..).is_ok()
        });
        match is_there {
            Ok(false) => Err(self.lost("it takes no commands any more")),
            Ok(true) | Err(_) => Ok(()),
        }
    }

    /// Fails with [`Error::OtherDevice`] if `what` was made with another device.
    pub(in crate::gpu) fn check_device(&self, other: &Self, what: &'static str) -> Result<()> {
        let is_same =
            Arc::ptr_eq(&self.shared, &other.shared) || error::is_same(self.device(), other.device());
        if is_same { Ok(()) } else { Err(Error::OtherDevice { what, device: self.name().to_owned() }) }
    }

    /// [`Error::DeviceLost`] if the device is lost, otherwise `error`.
    pub(in crate::gpu) fn lost_or(&self, error: Error) -> Error {
        match (error, self.check_alive()) {
            (Error::Device { .. }, Err(lost)) => lost,
            (error, _) => error,
        }
    }

    /// Waits until `submission` is done and its callbacks have run.
    ///
    /// Like [`wgpu::Device::poll`], but fails with [`Error::DeviceLost`] on a lost device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        self.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })?;
        self.check_alive()
    }

    /// Waits until everything submitted is done and its callbacks have run.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn wait_for_all(&self) -> Result<()> {
        self.poll(wgpu::PollType::Wait { submission_index: None, timeout: None })?;
        self.check_alive()
    }

    /// An error that did not come from wgpu's error scopes.
    pub(in crate::gpu) fn fault(&self, message: String) -> Error {
        self.lost_or(Error::Device { device: self.name().to_owned(), message })
    }

    /// Creates a buffer. Fails with [`Error::DeviceMemory`].
    pub(crate) fn buffer(&self, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.guarded(|| {
            self.shared.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("qmill"),
                size: bytes,
                usage,
                mapped_at_creation: false,
            })
        })
    }

    /// Creates a buffer with `contents`, padded with zeros to a multiple of 4 bytes.
    ///
    /// Like wgpu's `create_buffer_init`, which panics where this fails: with [`Error::DeviceMemory`], and
    /// with [`Error::Device`] or [`Error::DeviceLost`] on a lost device.
    pub fn buffer_with(&self, contents: &[u8], usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let buffer = self.guarded(|| {
            self.shared.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("qmill"),
                size: (contents.len() as u64).next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT),
                usage,
                mapped_at_creation: true,
            })
        })?;
        let mut view = buffer.get_mapped_range_mut(..).map_err(|error| self.fault(error.to_string()))?;
        view.slice(..contents.len()).copy_from_slice(contents);
        drop(view);
        self.guarded(|| buffer.unmap())?;
        Ok(buffer)
    }

    /// Whether the device converts f16 to f32 exactly.
    pub(in crate::gpu) fn has_exact_f16(&self) -> bool {
        self.shared.tests.get().is_some_and(|tests| tests.has_exact_f16)
    }

    /// Whether shaders are passed to the driver as SPIR-V that forbids contraction.
    pub(in crate::gpu) fn forbids_contraction(&self) -> bool {
        let features = self.shared.device.features();
        self.shared.backend == wgpu::Backend::Vulkan && features.contains(wgpu::Features::PASSTHROUGH_SHADERS)
    }

    /// The largest size of a storage buffer that can be bound whole.
    pub fn max_binding_bytes(&self) -> u64 {
        let limits = self.shared.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }
}
