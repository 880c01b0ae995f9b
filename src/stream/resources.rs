//! What a run may use.

use super::Plan;
use super::row_batch::row_bytes;
use crate::cpu::MAX_THREADS;
use crate::{Device, Error, Result};
use std::num::NonZeroUsize;
use std::thread;

/// Larger batches gain nothing: reading and writing a batch already costs far more than passing it on.
const BATCH_BYTES: u64 = 8 << 20;
/// On a GPU each batch costs a submission and two waits, so batches are larger.
const GPU_BATCH_BYTES: u64 = 32 << 20;
/// Enough to upload one batch and download another while a third is computed.
const GPU_WORKERS: u64 = 3;

/// The device, the threads and the memory of a run.
///
/// Start from [`Resources::default`] and change it with the `with_` methods or field by field.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resources {
    /// The device that converts.
    pub device: Device,
    /// Threads that convert on the CPU, at most 1024. One more thread reads and one writes.
    pub threads: NonZeroUsize,
    /// Total bytes of all buffers, including those on the device.
    pub memory_bytes: u64,
}

impl Default for Resources {
    /// All cores of the CPU and 256 MiB.
    fn default() -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { device: Device::Cpu, threads, memory_bytes: 256 << 20 }
    }
}

impl Resources {
    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// Sets [`threads`](Self::threads).
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self { threads, ..self }
    }

    /// Sets [`memory_bytes`](Self::memory_bytes).
    #[must_use]
    pub fn with_memory_bytes(self, memory_bytes: u64) -> Self {
        Self { memory_bytes, ..self }
    }

    /// Fails with [`Error::Memory`] if a row of some tensor does not fit into the memory.
    pub(super) fn check(&self, plan: &Plan) -> Result<()> {
        match plan.tensors().max_by_key(|tensor| row_bytes(tensor)) {
            Some(tensor) if row_bytes(tensor) > self.memory_bytes => Err(Error::Memory {
                tensor: tensor.to.name().to_owned(),
                row_bytes: row_bytes(tensor),
                memory_bytes: self.memory_bytes,
            }),
            _ => Ok(()),
        }
    }

    /// Number of threads that convert.
    pub(super) fn workers(&self) -> usize {
        match self.device {
            Device::Cpu => self.threads.get().min(MAX_THREADS),
            Device::Gpu(_) => GPU_WORKERS as usize,
        }
    }

    /// Bytes for the buffers of batches, and for the device buffers of each worker.
    pub(super) fn shares(&self) -> (u64, u64) {
        match self.device {
            Device::Cpu => (self.memory_bytes, 0),
            Device::Gpu(_) => (self.memory_bytes / 2, self.memory_bytes / 2 / GPU_WORKERS),
        }
    }

    /// The number of buffers, and the bytes of a batch in one, input and output together.
    ///
    /// There are enough buffers to read one and write one while every worker has one, or fewer if rows are
    /// long.
    pub(super) fn buffers(&self, plan: &Plan) -> (usize, u64) {
        let wanted = self.workers() as u64 + 2;
        let largest = if matches!(self.device, Device::Cpu) { BATCH_BYTES } else { GPU_BATCH_BYTES };
        let longest_row = plan.tensors().map(row_bytes).max().unwrap_or(0).max(1);
        let (bytes, _) = self.shares();
        // A row that needs more than this share may use all of the memory.
        let bytes = bytes.max(longest_row);
        let count = (bytes / longest_row).clamp(1, wanted);
        (count as usize, (bytes / count).min(largest.max(longest_row)))
    }
}
