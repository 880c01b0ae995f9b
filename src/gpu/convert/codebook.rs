//! Keeps the codebooks of formats on the device.

use crate::gpu::Gpu;
use crate::{Format, Result};

impl Gpu {
    /// The codebook of a format in a buffer; `None` for formats without one.
    pub(in crate::gpu) fn grid(&self, format: Format) -> Result<Option<wgpu::Buffer>> {
        let Some(words) = format.info().grid else { return Ok(None) };
        let mut grids = self.shared.grids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(buffer) = grids.get(&format) {
            return Ok(Some(buffer.clone()));
        }
        let words = words();
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.buffer(4 * words.len() as u64, usage)?;
        self.guarded(|| self.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(&words)))?;
        grids.insert(format, buffer.clone());
        Ok(Some(buffer))
    }
}
