//! Lists adapters and chooses one.

use crate::{Error, Result};
use std::convert::Infallible;
use std::env;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use wgpu::DeviceType;

/// Which device to compute on.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum DeviceChoice {
    /// The best GPU, or the CPU where there is none. Software adapters are skipped: the CPU itself is faster.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The best adapter, even one that computes on the CPU.
    Gpu,
    /// The adapter with this index in [`adapters`].
    Index(usize),
    /// The first adapter whose name contains this text, ignoring case.
    Name(String),
}

impl FromStr for DeviceChoice {
    type Err = Infallible;

    /// Parses `auto`, `cpu`, `gpu` or an index; any other text is part of a name.
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

/// An adapter: a GPU as one backend sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Adapter {
    /// The index for [`DeviceChoice::Index`].
    pub index: usize,
    /// wgpu's handle, which has the name, features and limits.
    pub handle: wgpu::Adapter,
}

impl Adapter {
    /// The lower, the rather [`DeviceChoice::Auto`] takes it: discrete GPUs first, then by how likely the
    /// adapter has memory of its own; software last.
    pub fn rank(&self) -> u8 {
        match self.handle.get_info().device_type {
            DeviceType::DiscreteGpu => 0,
            DeviceType::IntegratedGpu => 1,
            DeviceType::VirtualGpu => 2,
            DeviceType::Other => 3,
            DeviceType::Cpu => 4,
        }
    }
}

/// The one instance of all adapters: only within an instance can wgpu tell one device's resources from
/// another's.
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE
        .get_or_init(|| wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env()))
}

/// All adapters of the backends that `WGPU_BACKEND` allows; by default, of all that qmill is compiled with
/// (its features `vulkan`, `metal` and `dx12`). They belong to one wgpu instance that lives as long as the
/// process.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters() -> Vec<Adapter> {
    pollster::block_on(adapters_async())
}

/// The `async` form of [`adapters`](crate::gpu), the only one in a browser. Elsewhere it completes at once,
/// and blocks while drivers are loaded.
pub async fn adapters_async() -> Vec<Adapter> {
    // wgpu panics if no backend is compiled in.
    if wgpu::Instance::enabled_backend_features().is_empty() {
        return Vec::new();
    }
    let handles = instance().enumerate_adapters(wgpu::Backends::all()).await;
    handles.into_iter().enumerate().map(|(index, handle)| Adapter { index, handle }).collect()
}

/// The adapter that `choice` and `WGPU_ADAPTER_NAME` select.
///
/// Fails with [`Error::NoAdapter`] if there is none, or if the choice is the CPU.
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

/// The list of adapters for error messages.
fn listed(adapters: &[Adapter]) -> String {
    let names =
        adapters.iter().map(|adapter| format!("{}: {}", adapter.index, adapter.handle.get_info().name));
    let names = names.collect::<Vec<_>>().join(", ");
    if names.is_empty() { "there is no adapter".to_owned() } else { format!("the adapters are {names}") }
}

/// The adapter that `choice` and `WGPU_ADAPTER_NAME` select, `None` for the CPU; and all adapters.
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
            let best = adapters.iter().min_by_key(|adapter| adapter.rank());
            Some(best.ok_or_else(|| not_found("that computes".to_owned()))?)
        }
        _ => adapters.iter().filter(|adapter| !is_software(adapter)).min_by_key(|adapter| adapter.rank()),
    };
    Ok((found.cloned(), adapters))
}
