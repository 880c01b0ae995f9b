//! Which adapters there are, and which of them to use.

use super::Gpu;
use super::cooperative::{self, MatrixUnits};
use super::fault::{Lost, Pending, guarded};
use super::pipeline::Pipelines;
use crate::{Error, Result};
use std::convert::Infallible;
use std::env;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use wgpu::DeviceType;

/// What a user says about where to compute.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum DeviceChoice {
    /// A discrete GPU, or an integrated one, or the CPU: the twin is faster than a graphics driver that computes on the
    /// CPU itself.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The best adapter there is, even one that computes on the CPU.
    Gpu,
    /// The adapter of this number among [`adapters`].
    Index(usize),
    /// The first adapter whose name contains this, in any case.
    Name(String),
}

impl FromStr for DeviceChoice {
    type Err = Infallible;

    /// `auto`, `cpu`, `gpu`, a number, or else a part of a name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "auto" => Self::Auto,
            "cpu" => Self::Cpu,
            "gpu" => Self::Gpu,
            other => other.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Index),
        })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu => f.write_str("gpu"),
            Self::Index(index) => write!(f, "{index}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A way to a GPU: an adapter of one backend.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Its number, by which it can be chosen.
    pub index: usize,
    /// wgpu's handle to it, which knows its features and limits.
    pub handle: wgpu::Adapter,
}

/// All adapters of the backends that `WGPU_BACKEND` allows, by default all.
pub fn adapters() -> Vec<Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let handles = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    handles.into_iter().enumerate().map(|(index, handle)| Adapter { index, handle }).collect()
}

/// The adapter that `choice` and `WGPU_ADAPTER_NAME` name, or `None` for the CPU.
pub(super) fn choose(choice: &DeviceChoice) -> Result<Option<Adapter>> {
    let named = |adapter: &Adapter, name: &str| {
        adapter.handle.get_info().name.to_lowercase().contains(&name.to_lowercase())
    };
    let environment = env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty());
    let is_software = |adapter: &Adapter| adapter.handle.get_info().device_type == DeviceType::Cpu;
    if *choice == DeviceChoice::Cpu {
        return Ok(None);
    }
    let adapters = adapters();
    let found = || {
        let names =
            adapters.iter().map(|adapter| format!("{}: {}", adapter.index, adapter.handle.get_info().name));
        let names = names.collect::<Vec<_>>().join(", ");
        if names.is_empty() { "there is no adapter".to_owned() } else { format!("the adapters are {names}") }
    };
    let not_found = |wanted: String| Error::NoAdapter { wanted, found: found() };
    let by_name = |name: &str| {
        let found = adapters.iter().find(|adapter| named(adapter, name));
        found.cloned().map(Some).ok_or_else(|| not_found(format!("named {name:?}")))
    };
    match (choice, environment) {
        (DeviceChoice::Index(index), _) => {
            adapters.get(*index).cloned().map(Some).ok_or_else(|| not_found(format!("number {index}")))
        }
        (DeviceChoice::Name(name), _) => by_name(name),
        (_, Some(name)) => by_name(&name),
        (DeviceChoice::Gpu, None) => {
            let best = adapters.iter().min_by_key(|adapter| rank(adapter));
            best.cloned().map(Some).ok_or_else(|| not_found("that computes".to_owned()))
        }
        _ => Ok(adapters
            .iter()
            .filter(|adapter| !is_software(adapter))
            .min_by_key(|adapter| rank(adapter))
            .cloned()),
    }
}

/// Discrete GPUs first, and of the kinds that are left, the one that more often has its own memory.
fn rank(adapter: &Adapter) -> u8 {
    match adapter.handle.get_info().device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

impl Adapter {
    /// Opens a device with what qmill uses of it.
    pub(super) fn open(&self, cache_folder: Option<&Path>) -> Result<Gpu> {
        let info = self.handle.get_info();
        let cache_file =
            cache_folder.zip(wgpu::util::pipeline_cache_key(&info)).map(|(folder, key)| folder.join(key));
        let mut wanted = wgpu::Features::empty();
        wanted.set(wgpu::Features::PIPELINE_CACHE, cache_file.is_some());
        // Lanes that share a row add up without a barrier.
        wanted |= wgpu::Features::SUBGROUP;
        // For SPIR-V that forbids contraction.
        wanted.set(wgpu::Features::PASSTHROUGH_SHADERS, info.backend == wgpu::Backend::Vulkan);
        // For benchmarks; what is not asked for costs nothing.
        wanted.insert(wgpu::Features::TIMESTAMP_QUERY);
        let has_matrix_units = MatrixUnits::of(&self.handle, &Gpu::required_limits(&self.handle)).is_some();
        if has_matrix_units {
            wanted |= cooperative::FEATURES;
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("qmill"),
            required_features: self.handle.features() & wanted,
            experimental_features: experimental(has_matrix_units),
            required_limits: Gpu::required_limits(&self.handle),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(self.handle.request_device(&descriptor))
            .map_err(|error| Error::Device { device: info.name.clone(), message: error.to_string() })?;
        let lost = Lost::of(&device);
        let pipelines = match cache_file {
            Some(file) if device.features().contains(wgpu::Features::PIPELINE_CACHE) => {
                guarded(&device, &info.name, &Pending::default(), || Pipelines::stored(&device, file))?
            }
            _ => Pipelines::default(),
        };
        Ok(Gpu::new(device, queue, lost, pipelines)?.with_matrix_units(&self.handle))
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
