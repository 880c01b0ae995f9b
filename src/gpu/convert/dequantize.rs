//! Prepares dequantizing on the device.

use super::padded_layout::device_bytes;
use super::program::{ConvertKernel, ConvertProgram, DECODED_BLOCKS, GRID, RESULT};
use crate::gpu::Gpu;
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::{Error, Format, Result};
use wgpu::BufferBinding;

impl Gpu {
    /// Prepares decoding `weights` weights of format `from` to `to`, which is F32 or F16.
    ///
    /// `blocks` holds the blocks, each padded to whole words ([`device_bytes`]); `result` receives whole
    /// quads of weights. The bits equal those of [`cpu::dequantize`](crate::cpu::dequantize), for F16 rounded
    /// to nearest, except that one NaN may replace another. Fails with [`Error::NotEncoded`] if `to` is
    /// another format or equals `from`, [`Error::ShortRange`], [`Error::Misaligned`] and [`Error::Usage`] for
    /// an unsuitable range, and with errors of the device.
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
        let blocks = Range::new("the blocks", blocks, device_bytes(from, weights));
        let result = Range::new("the weights", result, device_bytes(to, weights));
        let grid = self.grid(from)?;
        let grid = grid.as_ref().map(|grid| Range::whole("the codebook", grid));
        let bindings = Bindings::new().read(DECODED_BLOCKS, &blocks).write(RESULT, &result);
        let bindings = bindings.read_optional(GRID, grid.as_ref());
        let program = ConvertProgram { kernel: ConvertKernel::Dequantize, format: from, weights: to };
        Ok(Op::new([self.prepare_conversion(program, weights, &bindings)?]))
    }
}
