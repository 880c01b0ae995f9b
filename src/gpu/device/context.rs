//! A device and what it shares: pipelines, codebooks, scratch memory, errors.

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

/// A device, and the kernels that run on it. Cheap to clone; clones share all.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(in crate::gpu) shared: Arc<Shared>,
    /// What differs on an adapter that computes on the CPU; `None` on a GPU.
    pub(super) software_adapter: Option<SoftwareAdapter>,
    /// The adapter's matrix units, if products may use them.
    pub(super) matrix_units: Option<MatrixUnits>,
    /// Collects the pipelines that are not compiled yet, in place of compiling them.
    pub(in crate::gpu) missing: Option<Missing>,
}

#[derive(Debug)]
pub(in crate::gpu) struct Shared {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) name: String,
    pub(super) backend: wgpu::Backend,
    pub(super) lost: Lost,
    /// Errors of calls that have not been reported yet.
    pub(super) pending: Pending,
    /// Polls the device while tasks wait for it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) poller: Poller,
    pub(in crate::gpu) pipelines: Pipelines,
    /// The codebooks that shaders need.
    pub(in crate::gpu) grids: Mutex<HashMap<Format, wgpu::Buffer>>,
    /// The results of the tests that ran when the device was opened.
    pub(super) tests: OnceLock<Tests>,
    /// The kernels of products where they are not the defaults.
    pub(in crate::gpu) tuning: RwLock<Tuning>,
    /// Memory that products use while they run, of each kind, one product after the other.
    pub(in crate::gpu) scratch: [Mutex<Option<wgpu::Buffer>>; 2],
}

/// What tests have found of a device.
#[derive(Debug)]
pub(super) struct Tests {
    pub(super) misrounding: Option<Misrounding>,
    /// Whether the device's own conversion from f16 is exact.
    pub(super) has_exact_f16: bool,
}

impl Gpu {
    /// A handle to a device whose tests have not run.
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

    /// The same device, whose products of many vectors in eight bits may take the matrix units of `adapter`, which it is of: by default on NVIDIA's, elsewhere where [`Tuning`] says so.
    ///
    /// They multiply f16: a weight and a number of a vector are then off by at most a 1024th of themselves besides, and by 2⁻²⁸ of the largest of the row and of
    /// the vector. Needs the features `EXPERIMENTAL_COOPERATIVE_MATRIX`, `SHADER_F16` and `SUBGROUP`, and an adapter that multiplies 8 x 8 or 16 x 16 numbers at once and
    /// adds up in f32 (Vulkan and Metal have some); without them nothing changes. [`Gpu::open`] has done this.
    #[must_use]
    pub fn with_matrix_units(self, adapter: &wgpu::Adapter) -> Self {
        let has_features = self.device().features().contains(matrix_units::FEATURES);
        let units = has_features.then(|| MatrixUnits::of(adapter, &self.device().limits()));
        Self { matrix_units: units.flatten(), ..self }
    }

    pub(in crate::gpu) fn matrix_units(&self) -> Option<MatrixUnits> {
        self.matrix_units
    }

    /// Whether the adapter computes on the CPU, as llvmpipe and SwiftShader do.
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

    /// The same device, with weights in storage buffers unless `in_textures` and the adapter prefers textures; for
    /// tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_weights_in_textures(&self, in_textures: bool) -> Self {
        let software_adapter = SoftwareAdapter::of(self.device())
            .map(|adapter| if in_textures { adapter } else { adapter.without_textures() });
        Self { software_adapter, ..self.clone() }
    }

    /// The adapter's name and backend, as `AMD Radeon RX 6800 (vulkan)`.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    /// The queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// Why this device must not quantize: an operation that it rounds otherwise than IEEE 754 says. `None` where all is
    /// well, as on every device known.
    pub fn misrounding(&self) -> Option<Misrounding> {
        self.shared.tests.get().and_then(|tests| tests.misrounding)
    }

    /// Stores the compiled pipelines in the folder that was given to [`Gpu::open`] or
    /// [`GpuOptions::cache_folder`], for the next start.
    ///
    /// What fails here is not worth an error: the next start compiles again.
    pub fn store_pipelines(&self) {
        self.shared.pipelines.store();
    }

    /// Runs `work` and turns what wgpu reports of it on this thread into an error, and a lost device too.
    ///
    /// In a browser errors are reported later: [`Gpu::settle`] has them. Fails with [`Error::Device`],
    /// [`Error::DeviceMemory`] and [`Error::DeviceLost`].
    pub fn guarded<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        self.check_lost()?;
        let done = guarded(&self.shared.device, self.name(), &self.shared.pending, work);
        done.map_err(|error| self.lost_or(error))
    }

    /// Waits for what the device has not reported yet of the calls that were made, and fails with the first
    /// error among it, as [`Gpu::guarded`] does.
    ///
    /// Only a browser reports errors later than at once; every `async` function of this module that returns
    /// has seen to it, but what is prepared and recorded by calls that are not `async` fails here.
    pub async fn settle(&self) -> Result<()> {
        self.shared.pending.settle(self.name()).await
    }

    pub(in crate::gpu) fn check_lost(&self) -> Result<()> {
        self.shared.lost.check(self.name())
    }

    /// Fails with [`Error::DeviceLost`] on a device that is gone, even if nothing has told of it: what is
    /// submitted to such a device is dropped without a word.
    pub(in crate::gpu) fn check_alive(&self) -> Result<()> {
        self.check_lost()?;
        let descriptor = wgpu::BufferDescriptor {
            label: Some("qmill"),
            size: wgpu::COPY_BUFFER_ALIGNMENT,
            usage: wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        };
        // Memory of a device that is gone is not there to be written, and nothing is reported of that.
        let is_there = guarded(&self.shared.device, self.name(), &self.shared.pending, || {
            self.shared.device.create_buffer(&descriptor).get_mapped_range(..).is_ok()
        });
        match is_there {
            Ok(false) => Err(self.lost("it takes no commands any more")),
            Ok(true) | Err(_) => Ok(()),
        }
    }

    /// Fails with [`Error::OtherDevice`] where `what` was made with a handle of another device.
    pub(in crate::gpu) fn check_device(&self, other: &Self, what: &'static str) -> Result<()> {
        let is_same =
            Arc::ptr_eq(&self.shared, &other.shared) || error::is_same(self.device(), other.device());
        if is_same { Ok(()) } else { Err(Error::OtherDevice { what, device: self.name().to_owned() }) }
    }

    /// That the device is gone, if it is, or else this error.
    pub(in crate::gpu) fn lost_or(&self, error: Error) -> Error {
        match (error, self.check_alive()) {
            (Error::Device { .. }, Err(lost)) => lost,
            (error, _) => error,
        }
    }

    /// Waits until `submission` is done, and so its callbacks are called.
    ///
    /// As [`wgpu::Device::poll`], but fails with [`Error::DeviceLost`] where the device is gone.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        self.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })?;
        self.check_alive()
    }

    /// Waits until all that was submitted is done, and its callbacks are called.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn wait_for_all(&self) -> Result<()> {
        self.poll(wgpu::PollType::Wait { submission_index: None, timeout: None })?;
        self.check_alive()
    }

    /// What a call reports that is not an error of wgpu's.
    pub(in crate::gpu) fn fault(&self, message: String) -> Error {
        self.lost_or(Error::Device { device: self.name().to_owned(), message })
    }

    /// A buffer, or [`Error::DeviceMemory`].
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

    /// A buffer that holds `contents`, in whole words: bytes after them are zeros.
    ///
    /// As wgpu's `create_buffer_init`, but fails where that panics: with [`Error::DeviceMemory`], and with
    /// [`Error::Device`] or [`Error::DeviceLost`] on a device that is gone.
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

    /// Whether the device's own conversion from f16 is exact.
    pub(in crate::gpu) fn has_exact_f16(&self) -> bool {
        self.shared.tests.get().is_some_and(|tests| tests.has_exact_f16)
    }

    /// Whether shaders go to the driver as SPIR-V that forbids contraction.
    pub(in crate::gpu) fn forbids_contraction(&self) -> bool {
        let features = self.shared.device.features();
        self.shared.backend == wgpu::Backend::Vulkan && features.contains(wgpu::Features::PASSTHROUGH_SHADERS)
    }

    /// The largest buffer that a kernel can see whole.
    pub fn max_binding_bytes(&self) -> u64 {
        let limits = self.shared.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }
}
