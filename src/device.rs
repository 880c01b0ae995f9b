//! The device that an operation runs on.

use crate::gpu::{DeviceChoice, Wait};
use crate::{Gpu, Result};
use std::fmt;
use std::path::Path;

/// The CPU or a GPU. Both give the same bytes.
#[derive(Clone, Default, Debug)]
pub enum Device {
    /// The CPU.
    #[default]
    Cpu,
    /// A GPU.
    Gpu(Gpu),
}

impl Device {
    /// Opens the device that `choice` names. `auto` is the CPU if there is no GPU. See [`Gpu::open`] for
    /// `cache_folder` and the errors.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(choice: &DeviceChoice, cache_folder: Option<&Path>) -> Result<Self> {
        pollster::block_on(Self::open_as(Wait::Blocking, choice, cache_folder))
    }

    /// [`Device::open`] as a future, like [`Gpu::open_async`].
    pub async fn open_async(choice: &DeviceChoice, cache_folder: Option<&Path>) -> Result<Self> {
        Self::open_as(Wait::Async, choice, cache_folder).await
    }

    async fn open_as(wait: Wait, choice: &DeviceChoice, cache_folder: Option<&Path>) -> Result<Self> {
        let gpu = Gpu::open_unless_cpu(wait, choice, cache_folder).await?;
        Ok(gpu.map_or(Self::Cpu, Self::Gpu))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("CPU"),
            Self::Gpu(gpu) => f.write_str(gpu.name()),
        }
    }
}
