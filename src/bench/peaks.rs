//! Measures a device's limits by kernels that do one thing only.

mod best;
mod cpu;
mod gpu;
mod kernels;
mod rates;

use super::cpu_conversion::threads;
use super::timing::Settings;
use crate::{Device, Result};
#[doc(hidden)]
pub use kernels::shaders;
pub use rates::{Moved, Peaks, Shares};

/// The smallest and the largest buffer.
const LEAST_BYTES: u64 = 1 << 20;
const MOST_BYTES: u64 = 1 << 30;

impl Peaks {
    /// Measures a device, in a few seconds. Uses two buffers twice the size of the cache of `settings`, or
    /// the largest that the device can bind, and on the CPU as many threads as `settings` has.
    ///
    /// Fails with [`Error::DeviceMemory`](crate::Error::DeviceMemory) and other errors of the device, and
    /// with [`Error::Number`](crate::Error::Number) for 0 threads.
    pub fn measure(device: &Device, settings: &Settings) -> Result<Self> {
        let most = match device {
            Device::Cpu => MOST_BYTES,
            Device::Gpu(gpu) => gpu.max_binding_bytes().min(MOST_BYTES),
        };
        let bytes = settings.cache_bytes.saturating_mul(2).clamp(LEAST_BYTES, most);
        let bytes = 1 << bytes.ilog2();
        match device {
            Device::Cpu => cpu::measure(bytes, threads(settings)?),
            Device::Gpu(gpu) => gpu::measure(gpu, bytes),
        }
    }
}
