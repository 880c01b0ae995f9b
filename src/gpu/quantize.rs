//! Weights to blocks, on the device.

use super::kernel::{Kernel, Layout, Program, quantize_passes};
use super::op::{Op, Range};
use super::{Gpu, device_bytes};
use crate::{Error, Format, Result};
use wgpu::BufferBinding;

/// Where a quantization finds its operands: ranges of buffers with usage `STORAGE`, which must not overlap.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuantizeBuffers<'a> {
    /// Weights, F32, F16 or BF16, as a file holds them, in whole quads: at least [`device_bytes`].
    pub source: BufferBinding<'a>,
    /// Receives the blocks, each on a whole word: [`device_bytes`].
    pub blocks: BufferBinding<'a>,
    /// A bit for each block, set where the CPU twin must do it: [`declined_bytes`], zeros before.
    pub declined: BufferBinding<'a>,
    /// What is kept between two passes: [`scratch_bytes`].
    pub scratch: BufferBinding<'a>,
}

impl<'a> QuantizeBuffers<'a> {
    /// Ranges for the weights, the blocks, the map of those that are declined, and what is kept meanwhile.
    pub fn new(
        source: BufferBinding<'a>,
        blocks: BufferBinding<'a>,
        declined: BufferBinding<'a>,
        scratch: BufferBinding<'a>,
    ) -> Self {
        Self { source, blocks, declined, scratch }
    }
}

/// Bytes of the bitmap of declined blocks of `weights` weights.
pub fn declined_bytes(format: Format, weights: u64) -> u64 {
    Layout::of(format).blocks(weights).div_ceil(32) * 4
}

/// Bytes of scratch that quantizing `weights` weights needs.
pub fn scratch_bytes(format: Format, weights: u64) -> u64 {
    let search = Program { kernel: Kernel::QuantizeSearch, format, weights: Format::F32 };
    let two_passes = quantize_passes(format).contains(&Kernel::QuantizeSearch);
    // Never nothing, because an empty buffer cannot be bound.
    if two_passes { 16 * search.invocations(Layout::of(format).blocks(weights)) } else { 4 }
}

impl Gpu {
    /// Prepares the encoding of `weights` weights of format `from`, which is F32, F16 or BF16, as `to`.
    ///
    /// The bytes are those of [`cpu::quantize`](crate::cpu::quantize) for finite weights, but where a bit of `declined` is
    /// set. Compiles what was not needed before. Fails with [`Error::NotEncoded`] where there is no encoder, or `from` is
    /// no float format or the same as `to`; with [`Error::Inexact`] on a device that must not quantize; with
    /// [`Error::ShortRange`]; and with [`Error::Device`] where a range is not aligned as the device wants.
    pub fn prepare_quantize(
        &self,
        from: Format,
        to: Format,
        weights: u64,
        buffers: &QuantizeBuffers,
    ) -> Result<Op> {
        let passes = quantize_passes(to);
        if passes.is_empty() || !from.is_float() || from == to {
            return Err(Error::NotEncoded { format: to });
        }
        if let Some(misrounding) = self.misrounding() {
            return Err(Error::Inexact { device: self.name().to_owned(), misrounding });
        }
        let source = Range::new("the weights", &buffers.source, device_bytes(from, weights));
        let blocks = Range::new("the blocks", &buffers.blocks, device_bytes(to, weights));
        let declined = Range::new("the declined blocks", &buffers.declined, declined_bytes(to, weights));
        let scratch = Range::new("scratch", &buffers.scratch, scratch_bytes(to, weights));
        let steps = passes.iter().map(|&kernel| {
            let bound = match kernel {
                Kernel::QuantizeSearch => vec![source.clone(), scratch.clone()],
                Kernel::QuantizePack => {
                    vec![source.clone(), blocks.clone(), declined.clone(), scratch.clone()]
                }
                _ => vec![source.clone(), blocks.clone(), declined.clone()],
            };
            self.prepare(Program { kernel, format: to, weights: from }, weights, &bound)
        });
        Ok(Op { steps: steps.collect::<Result<_>>()? })
    }
}
