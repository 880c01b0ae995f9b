//! Prepares quantizing on the device.

use super::padded_layout::{PaddedLayout, device_bytes};
use super::program::{
    BLOCKS, ConvertKernel, ConvertProgram, DECLINED, PACK_SCRATCH, SEARCH_SCRATCH, SOURCE, quantize_passes,
};
use crate::gpu::Gpu;
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::{Dispatch, Step};
use crate::gpu::shader::params::{HeadParams, Params};
use crate::gpu::shader::pipeline::Arithmetic;
use crate::{Error, Format, Result};
use wgpu::BufferBinding;

/// The operands of [`Gpu::prepare_quantize`]: ranges of buffers with usage `STORAGE`, which must not overlap.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuantizeBuffers<'a> {
    /// Weights in F32, F16 or BF16, as in a file, in whole quads: at least [`device_bytes`].
    pub source: BufferBinding<'a>,
    /// Receives the blocks, each padded to whole words: [`device_bytes`].
    pub blocks: BufferBinding<'a>,
    /// A bit for each block, set if the CPU reference must encode it: [`declined_bytes`]. Must hold zeros
    /// before.
    pub declined: BufferBinding<'a>,
    /// Scratch memory between two passes: [`scratch_bytes`].
    pub scratch: BufferBinding<'a>,
}

impl<'a> QuantizeBuffers<'a> {
    /// The ranges of weights, blocks, the bitmap of declined blocks, and scratch memory.
    pub fn new(
        source: BufferBinding<'a>,
        blocks: BufferBinding<'a>,
        declined: BufferBinding<'a>,
        scratch: BufferBinding<'a>,
    ) -> Self {
        Self { source, blocks, declined, scratch }
    }
}

/// Bytes of the bitmap of declined blocks for `weights` weights.
pub fn declined_bytes(format: Format, weights: u64) -> u64 {
    PaddedLayout::of(format).blocks(weights).div_ceil(32) * 4
}

/// Bytes of scratch memory for quantizing `weights` weights.
pub fn scratch_bytes(format: Format, weights: u64) -> u64 {
    let search = ConvertProgram { kernel: ConvertKernel::QuantizeSearch, format, weights: Format::F32 };
    let two_passes = quantize_passes(format).contains(&ConvertKernel::QuantizeSearch);
    // Not 0: an empty buffer cannot be bound.
    if two_passes { 16 * search.invocations(weights) } else { 4 }
}

impl Gpu {
    /// Prepares encoding `weights` weights of format `from`, which is F32, F16 or BF16, as `to`.
    ///
    /// For finite weights, the bytes equal those of [`cpu::quantize`](crate::cpu::quantize), except in blocks
    /// whose bit in `declined` is set. Compiles kernels on first use. Fails with [`Error::NotEncoded`] if
    /// there is no encoder, or `from` is not a float format or equals `to`; [`Error::Inexact`] on a device
    /// that must not quantize; [`Error::ShortRange`], [`Error::Misaligned`] and [`Error::Usage`] for an
    /// unsuitable range; and with errors of the device.
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
            let bindings = Bindings::new().read(SOURCE, &source);
            let bindings = match kernel {
                ConvertKernel::QuantizeSearch => bindings.write(SEARCH_SCRATCH, &scratch),
                ConvertKernel::QuantizePack => {
                    bindings.write(BLOCKS, &blocks).write(DECLINED, &declined).read(PACK_SCRATCH, &scratch)
                }
                _ => bindings.write(BLOCKS, &blocks).write(DECLINED, &declined),
            };
            self.prepare_conversion(ConvertProgram { kernel, format: to, weights: from }, weights, &bindings)
        });
        Ok(Op::new(steps.collect::<Result<Vec<_>>>()?))
    }

    /// Prepares `program`, which has no parameters of its own, for `weights` weights.
    pub(super) fn prepare_conversion(
        &self,
        program: ConvertProgram,
        weights: u64,
        bindings: &Bindings,
    ) -> Result<Step> {
        self.prepare_program(program, weights, &HeadParams::default(), bindings)
    }

    /// Prepares `program` for `weights` weights.
    pub(super) fn prepare_program<P: Params>(
        &self,
        program: ConvertProgram,
        weights: u64,
        params: &P,
        bindings: &Bindings,
    ) -> Result<Step> {
        self.prepare_step(
            (&program.to_string(), Arithmetic::Exact),
            |may_contract| program.wgsl(may_contract),
            Dispatch::of(program.invocations(weights)),
            params,
            bindings,
        )
    }
}
