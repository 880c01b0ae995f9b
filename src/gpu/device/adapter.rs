//! Which adapters there are, and which of them to use.

use crate::{Error, Result};
use std::convert::Infallible;
use std::env;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use wgpu::DeviceType;

/// What a user says about where to compute.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Adapter {
    /// Its number, by which it can be chosen.
    pub index: usize,
    /// wgpu's handle to it, which knows its features and limits.
    pub handle: wgpu::Adapter,
}

/// The instance of every adapter here: devices of one instance tell when something is another's.
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE
        .get_or_init(|| wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env()))
}

/// All adapters of the backends that `WGPU_BACKEND` allows, by default all that qmill is compiled with (its
/// features `vulkan`, `metal` and `dx12`); of one wgpu instance, which the process keeps.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters() -> Vec<Adapter> {
    pollster::block_on(adapters_async())
}

/// [`adapters`](crate::gpu), to be awaited: in a browser that is the only way. Elsewhere it is done at once,
/// and blocks while drivers are loaded.
pub async fn adapters_async() -> Vec<Adapter> {
    // Without a backend an instance panics.
    if wgpu::Instance::enabled_backend_features().is_empty() {
        return Vec::new();
    }
    let handles = instance().enumerate_adapters(wgpu::Backends::all()).await;
    handles.into_iter().enumerate().map(|(index, handle)| Adapter { index, handle }).collect()
}

/// The adapter that `choice` and `WGPU_ADAPTER_NAME` name.
///
/// Fails with [`Error::NoAdapter`], also where that is the CPU.
pub(super) async fn chosen(choice: &DeviceChoice) -> Result<Adapter> {
    let not_found = |adapters: &[Adapter]| {
        let wanted = match choice {
            DeviceChoice::Cpu => "that is a GPU and called cpu",
            _ => "that is a GPU and not software",
        };
        Error::NoAdapter { wanted: wanted.to_owned(), found: listed(adapters) }
    };
    match choose(choice).await? {
        (Some(adapter), _) => Ok(adapter),
        (None, adapters) => Err(not_found(&adapters)),
    }
}

/// What an error says of the adapters.
fn listed(adapters: &[Adapter]) -> String {
    let names =
        adapters.iter().map(|adapter| format!("{}: {}", adapter.index, adapter.handle.get_info().name));
    let names = names.collect::<Vec<_>>().join(", ");
    if names.is_empty() { "there is no adapter".to_owned() } else { format!("the adapters are {names}") }
}

/// The adapter that `choice` and `WGPU_ADAPTER_NAME` name, or `None` for the CPU; and all that there are, if
/// that was looked at.
pub(super) async fn choose(choice: &DeviceChoice) -> Result<(Option<Adapter>, Vec<Adapter>)> {
    let named = |adapter: &Adapter, name: &str| {
        adapter.handle.get_info().name.to_lowercase().contains(&name.to_lowercase())
    };
    let environment = env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty());
    let is_software = |adapter: &Adapter| adapter.handle.get_info().device_type == DeviceType::Cpu;
    let adapters = adapters_async().await;
    if *choice == DeviceChoice::Cpu {
        return Ok((None, adapters));
    }
    let not_found = |wanted: String| Error::NoAdapter { wanted, found: listed(&adapters) };
    let by_name = |name: &str| {
        let found = adapters.iter().find(|adapter| named(adapter, name));
        found.ok_or_else(|| not_found(format!("named {name:?}")))
    };
    let found = match (choice, environment) {
        (DeviceChoice::Index(index), _) => {
            Some(adapters.get(*index).ok_or_else(|| not_found(format!("number {index}")))?)
        }
        (DeviceChoice::Name(name), _) => Some(by_name(name)?),
        (_, Some(name)) => Some(by_name(&name)?),
        (DeviceChoice::Gpu, None) => {
            let best = adapters.iter().min_by_key(|adapter| rank(adapter));
            Some(best.ok_or_else(|| not_found("that computes".to_owned()))?)
        }
        _ => adapters.iter().filter(|adapter| !is_software(adapter)).min_by_key(|adapter| rank(adapter)),
    };
    Ok((found.cloned(), adapters))
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
