//! The same operations on any GPU that wgpu reaches: Vulkan, Metal, DX12.
//!
//! A [`Gpu`] is a device with the kernels that run on it, which are compiled when they are first needed. An app that has
//! a device brings it ([`Gpu::from_device`]); otherwise [`Gpu::open`] finds one. A [`Converter`] turns weights into
//! blocks of a format and back, through buffers of its own; the bytes are those of [`cpu`](crate::cpu), by construction:
//! `ARCHITECTURE.md` has the argument, and a device that does not round as it should is found out when it is opened.
//! A [`Matrix`] is weights that stay quantized on the device, to be multiplied by ([`Gpu::matmul`]) or looked up
//! ([`Gpu::get_rows`]); operations are prepared once and recorded into an app's own commands ([`Op`]).
//!
//! ```
//! use qmill::gpu::{Converter, DeviceChoice};
//! use qmill::{Format, Gpu};
//!
//! // Where there is no GPU, `qmill::cpu` makes the same bytes.
//! if let Ok(gpu) = Gpu::open(&DeviceChoice::Auto, None) {
//!     let weights: Vec<u8> = (0..512).flat_map(|i| (i as f32 * 0.1).sin().to_le_bytes()).collect();
//!     let mut blocks = vec![0; Format::Q4_K.bytes_for(512) as usize];
//!     Converter::new(&gpu, 64 << 20).convert(Format::F32, &weights, Format::Q4_K, &mut blocks)?;
//! }
//! # Ok::<(), qmill::Error>(())
//! ```
//!
//! On buffers of an app's own: [`Gpu::prepare_quantize`] and [`Gpu::prepare_dequantize`] give an [`Op`], which is recorded
//! into a command encoder as often as it is wanted.
//!
//! What waits for the device has two forms. One blocks. The other is an `async fn`, which needs nobody to
//! poll the device: a thread polls while something is awaited, and what has to be compiled is compiled in a
//! thread of its own. What only prepares, as [`Gpu::prepare_matmul`] and [`Kernel::new`], blocks while it
//! compiles; [`Gpu::prepare_async`] awaits it. A browser has only the `async` forms, and tells of errors when
//! [`Gpu::settle`] is awaited.
//!
//! Matrices and activations of another device are [`Error::OtherDevice`], and buffers of another device
//! [`Error::Device`]. One limit remains: wgpu knows buffers by numbers that each `wgpu::Instance` gives out,
//! so the number of another instance's buffer may stand for a buffer of this one. Devices that this crate
//! opens are of one instance.
//!
//! Nothing here prints, panics on input or replaces a host's error handlers.

mod activations;
mod adapter;
mod bundles;
mod cache_file;
#[cfg(not(target_arch = "wasm32"))]
mod clock;
mod convert;
mod cooperative;
mod custom;
mod dequantize;
mod fault;
mod from_gguf;
mod get_rows;
mod halves;
mod kernel;
mod matmul;
mod matrix;
mod matvec;
mod once;
mod op;
mod options;
mod pipeline;
mod quantize;
mod quantizing;
mod read;
mod self_test;
mod shader;
mod spans;
mod spirv;
mod split;
pub(crate) mod texels;
mod tile;
mod tuning;
mod upload;
mod variant;
mod wait;

pub use crate::error::Misrounding;
pub use activations::{Activations, INT8_BLOCK_WGSL};
#[cfg(not(target_arch = "wasm32"))]
pub use adapter::adapters;
pub use adapter::{Adapter, DeviceChoice, adapters_async};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use clock::{Clock, Lap};
pub use convert::{Converted, Converter};
pub use custom::{Access, Kernel};
pub use from_gguf::TensorOptions;
pub use matmul::Precision;
pub use matrix::Matrix;
pub use op::Op;
pub use options::GpuOptions;
pub use quantize::{QuantizeBuffers, declined_bytes, scratch_bytes};
pub use quantizing::{Check, QuantizeOptions};
pub use tuning::Tuning;
#[doc(hidden)]
pub use variant::Variant;
pub(crate) use wait::Wait;

use crate::{Error, Format, Result};
use cooperative::MatrixUnits;
use fault::{Lost, Pending, guarded};
use kernel::{Layout, Program};
use pipeline::{Job, Pipelines};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

/// A device, and the kernels that run on it. Cheap to clone; clones share all.
#[derive(Clone, Debug)]
pub struct Gpu {
    shared: Arc<Shared>,
    /// Whether products read weights from textures.
    prefers_texels: bool,
    /// The adapter's matrix units, if products may take them.
    matrix_units: Option<MatrixUnits>,
    /// Where pipelines are noted that are not there, instead of compiling them.
    looks_only: Option<Arc<Mutex<Vec<Job>>>>,
}

#[derive(Debug)]
struct Shared {
    device: wgpu::Device,
    queue: wgpu::Queue,
    name: String,
    backend: wgpu::Backend,
    lost: Lost,
    /// What calls came to that has not been reported yet.
    pending: Pending,
    /// Polls the device while tasks wait for it.
    #[cfg(not(target_arch = "wasm32"))]
    poller: wait::Poller,
    pipelines: Pipelines,
    /// The codebooks that shaders need.
    grids: Mutex<HashMap<Format, wgpu::Buffer>>,
    /// What the device was found to do when it was opened.
    tests: OnceLock<Tests>,
    /// Which kernels products take where that is not by default.
    tuning: RwLock<Tuning>,
    /// What products need meanwhile, of each kind, one product after the other.
    scratch: [Mutex<Option<wgpu::Buffer>>; 2],
}

/// What a device was found to do.
#[derive(Debug)]
struct Tests {
    misrounding: Option<Misrounding>,
    /// Whether the device's own conversion from f16 is exact.
    keeps_halves: bool,
}

/// Changes the text of every shader before it is compiled, given its name; for tests that plant faults.
#[doc(hidden)]
pub type Rewrite = Arc<dyn Fn(&str, String) -> String + Send + Sync>;

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
        adapter::chosen(choice).await?.open(wait, cache_folder).await
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
            Some(adapter) => Ok(Some(adapter.open(wait, cache_folder).await?)),
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
        let info = device.adapter_info();
        let name = format!("{} ({})", info.name, info.backend);
        let grids = Mutex::default();
        let prefers_texels = texels::is_llvmpipe(&device);
        let shared = Shared {
            device,
            queue,
            name,
            backend: info.backend,
            lost,
            pending: Pending::default(),
            #[cfg(not(target_arch = "wasm32"))]
            poller: wait::Poller::default(),
            pipelines,
            grids,
            tests: OnceLock::new(),
            tuning: RwLock::default(),
            scratch: Default::default(),
        };
        let shared = Arc::new(shared);
        let gpu = Self { shared, prefers_texels, matrix_units: None, looks_only: None };
        let misrounding = self_test::run(&gpu, wait).await?;
        // A device that cannot convert at all has said so in an error of its own.
        let keeps_halves = match self_test::keeps_halves(&gpu, wait).await {
            Err(Error::Device { .. }) => false,
            keeps => keeps?,
        };
        let tests = Tests { misrounding, keeps_halves };
        gpu.shared.tests.get_or_init(|| tests);
        Ok(gpu)
    }

    /// The same device, whose products of many vectors in eight bits may take the matrix units of `adapter`, which it is of: by default on NVIDIA's, elsewhere where [`Tuning`] says so.
    ///
    /// They multiply f16: a weight and a number of a vector are then off by at most a 1024th of themselves besides, and by 2⁻²⁸ of the largest of the row and of
    /// the vector. Needs the features `EXPERIMENTAL_COOPERATIVE_MATRIX`, `SHADER_F16` and `SUBGROUP`, and an adapter that multiplies 8 x 8 or 16 x 16 numbers at once and
    /// adds up in f32 (Vulkan and Metal have some); without them nothing changes. [`Gpu::open`] has done this.
    #[must_use]
    pub fn with_matrix_units(self, adapter: &wgpu::Adapter) -> Self {
        let has_features = self.device().features().contains(cooperative::FEATURES);
        let units = has_features.then(|| MatrixUnits::of(adapter, &self.device().limits()));
        Self { matrix_units: units.flatten(), ..self }
    }

    fn matrix_units(&self) -> Option<MatrixUnits> {
        self.matrix_units
    }

    /// What the kernels need of a device at least, for an app that requests one: WebGPU's default limits, and the
    /// adapter's own where larger buffers help, or larger workgroups with matrix units.
    pub fn required_limits(adapter: &wgpu::Adapter) -> wgpu::Limits {
        let has = adapter.limits();
        let usual = wgpu::Limits::default();
        let bytes = has.max_compute_workgroup_storage_size.min(cooperative::WORKGROUP_BYTES);
        let invocations = has.max_compute_invocations_per_workgroup.min(cooperative::MOST_INVOCATIONS);
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

    fn check_lost(&self) -> Result<()> {
        self.shared.lost.check(self.name())
    }

    /// Fails with [`Error::DeviceLost`] on a device that is gone, even if nothing has told of it: what is
    /// submitted to such a device is dropped without a word.
    fn check_alive(&self) -> Result<()> {
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
    fn check_device(&self, other: &Self, what: &'static str) -> Result<()> {
        let is_same =
            Arc::ptr_eq(&self.shared, &other.shared) || fault::is_same(self.device(), other.device());
        if is_same { Ok(()) } else { Err(Error::OtherDevice { what, device: self.name().to_owned() }) }
    }

    /// That the device is gone, if it is, or else this error.
    fn lost_or(&self, error: Error) -> Error {
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
    fn fault(&self, message: String) -> Error {
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
    fn keeps_halves(&self) -> bool {
        self.shared.tests.get().is_some_and(|tests| tests.keeps_halves)
    }

    /// Whether shaders go to the driver as SPIR-V that forbids contraction.
    fn forbids_contraction(&self) -> bool {
        let features = self.shared.device.features();
        self.shared.backend == wgpu::Backend::Vulkan && features.contains(wgpu::Features::PASSTHROUGH_SHADERS)
    }

    /// The largest buffer that a kernel can see whole.
    pub(crate) fn max_binding_bytes(&self) -> u64 {
        let limits = self.shared.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }
}

/// Bytes that `weights` weights of a format take on the device, where each block starts on a whole word and F32, F16 and
/// BF16 come in whole quads.
pub fn device_bytes(format: Format, weights: u64) -> u64 {
    Layout::of(format).device_bytes(weights)
}

/// Every shader there is: its name, as in `quantize_pack.q4_k.f16`, and its text.
pub fn shaders() -> impl Iterator<Item = (String, String)> {
    let products =
        matvec::programs().chain(tile::programs()).chain(cooperative::programs()).chain(halves::programs());
    let products = products.map(move |program| (program.name(), joined(program.wgsl(true))));
    let others = activations::texts().chain([(self_test::HALF_NAME, self_test::half_wgsl())]);
    let others = others.chain(halves::texts()).chain(spans::texts()).chain(bundles::texts());
    let others = others.map(move |(name, wgsl)| (name.to_owned(), joined(wgsl)));
    exact_texts(true).chain(products).chain(others)
}

/// The same shaders as a Vulkan driver is given them, or why there is none.
#[doc(hidden)]
pub fn vulkan_modules() -> impl Iterator<Item = (String, Result<Vec<u32>, String>)> {
    exact_texts(false).map(|(name, wgsl)| (name, spirv::without_contraction(&wgsl)))
}

/// The text, which tests have joined.
fn joined(text: Result<String, String>) -> String {
    text.expect("every shader joins")
}

/// Those whose results must be the twin's, bit for bit.
fn exact_texts(may_contract: bool) -> impl Iterator<Item = (String, String)> {
    let self_test = (self_test::NAME.to_owned(), joined(self_test::wgsl(may_contract)));
    let programs =
        Program::all().map(move |program| (program.to_string(), joined(program.wgsl(may_contract))));
    let with_matrix = get_rows::programs().chain(read::programs());
    let with_matrix = with_matrix.map(move |program| (program.name(), joined(program.wgsl(may_contract))));
    let upload = (upload::NAME.to_owned(), joined(upload::wgsl()));
    let copy_rows = (upload::COPY_ROWS.to_owned(), joined(upload::copy_rows_wgsl()));
    let checks = quantizing::texts().map(|(name, wgsl)| (name, joined(wgsl)));
    [self_test, upload, copy_rows].into_iter().chain(programs).chain(with_matrix).chain(checks)
}
