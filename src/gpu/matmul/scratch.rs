//! Scratch memory of products.

use crate::Result;
use crate::gpu::Gpu;
use std::sync::PoisonError;
use wgpu::BufferUsages;

/// The kinds of scratch memory; one product may need all.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scratch {
    /// Sums of slices of the columns, or batches of expert assignments.
    Sums,
    /// Vectors as f16.
    F16Activations,
    /// Weights as f16.
    F16Weights,
}

impl Gpu {
    /// A scratch buffer, shared by all products of the device: its one queue runs them in order.
    pub(super) fn scratch(&self, what: Scratch, bytes: u64) -> Result<wgpu::Buffer> {
        let mut shared = self.shared.scratch[what as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buffer) = shared.as_ref().filter(|buffer| buffer.size() >= bytes) {
            return Ok(buffer.clone());
        }
        // Products prepared with a smaller buffer keep that one.
        let bytes = bytes.next_power_of_two().min(self.max_binding_bytes()).max(bytes);
        let buffer = self.buffer(bytes, BufferUsages::STORAGE)?;
        *shared = Some(buffer.clone());
        Ok(buffer)
    }
}
