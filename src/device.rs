//! Where an operation runs.

use crate::gpu::DeviceChoice;
use crate::{Gpu, Result};
use std::fmt;
use std::path::Path;

/// The CPU or a GPU. Both give the same bytes.
#[derive(Clone, Default, Debug)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU.
    Gpu(Gpu),
}

impl Device {
    /// Opens what `choice` names; see [`Gpu::open`] for `cache_folder` and the errors.
    pub fn open(choice: &DeviceChoice, cache_folder: Option<&Path>) -> Result<Self> {
        Ok(Gpu::open(choice, cache_folder)?.map_or(Self::Cpu, Self::Gpu))
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
