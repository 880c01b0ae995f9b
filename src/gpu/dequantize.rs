//! Blocks to weights, on the device.

use super::kernel::{Kernel, Program};
use super::op::{Op, Range};
use super::{Gpu, device_bytes};
use crate::{Error, Format, Result};
use wgpu::BufferBinding;

impl Gpu {
    /// Prepares the decoding of the blocks of `weights` weights of format `from` to `to`, which is F32 or F16.
    ///
    /// `blocks` holds them each on a whole word ([`device_bytes`]), `result` receives whole quads of
    /// weights. The bits are those of [`cpu::dequantize`](crate::cpu::dequantize), for F16 rounded to the nearest; only
    /// that any NaN may stand for another. Fails with [`Error::NotEncoded`] where `to` is another format or the same as
    /// `from`, with [`Error::ShortRange`], and with [`Error::Device`] where a range is not aligned as the device wants.
    pub fn prepare_dequantize(
        &self,
        from: Format,
        to: Format,
        weights: u64,
        blocks: &BufferBinding,
        result: &BufferBinding,
    ) -> Result<Op> {
        if !matches!(to, Format::F32 | Format::F16) || from == to {
            return Err(Error::NotEncoded { format: to });
        }
        let mut bound = vec![
            Range::new("the blocks", blocks, device_bytes(from, weights)),
            Range::new("the weights", result, device_bytes(to, weights)),
        ];
        let grid = self.grid(from)?;
        bound.extend(
            grid.as_ref()
                .map(|grid| Range::new("the codebook", &grid.as_entire_buffer_binding(), grid.size())),
        );
        let program = Program { kernel: Kernel::Dequantize, format: from, weights: to };
        Ok(Op { steps: vec![self.prepare(program, weights, &bound)?] })
    }

    /// The codebook of a format, on the device.
    pub(super) fn grid(&self, format: Format) -> Result<Option<wgpu::Buffer>> {
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
