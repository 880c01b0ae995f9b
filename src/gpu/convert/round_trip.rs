//! Prepares the round trip of weights through a format, and sums of its squared errors, on the device.

use super::padded_layout::device_bytes;
use super::program::{BLOCKS, ConvertKernel, ConvertProgram, DECLINED, DECODED_BLOCKS, RESULT, SOURCE, SUMS};
use super::quantize::{QuantizeBuffers, declined_bytes, scratch_bytes};
use crate::cpu::{GROUP_WEIGHTS, check_blocks, check_positive};
use crate::gpu::Gpu;
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::library::preprocess;
use crate::gpu::shader::params::{HeadParams, params};
use crate::gpu::shader::pipeline::Arithmetic;
use crate::{Error, Format, Result};
use wgpu::{BufferBinding, BufferUsages};

params! {
    /// For sums of squared errors.
    ErrorSumsParams in "convert/error_sums.wgsl" {
        /// Weights in all groups.
        weights,
    }
}

/// The operands of [`Gpu::prepare_round_trip`]: ranges of buffers with usage `STORAGE`. Each is in a buffer
/// of its own, except that the result may be the range of the weights.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoundTripBuffers<'a> {
    /// Weights in F32, F16 or BF16, in whole quads: at least [`device_bytes`].
    pub weights: BufferBinding<'a>,
    /// Receives the decoded weights, in the format of the weights and as many bytes. `None` computes sums
    /// alone.
    pub result: Option<BufferBinding<'a>>,
    /// Receives Σe² and Σw² of each group of 256 weights, two f32: [`error_sums_bytes`]. Both are NaN for a
    /// group with a declined block, or with weights whose squares could overflow f32.
    pub sums: Option<BufferBinding<'a>>,
    /// A bit for each block that the kernels decline: [`declined_bytes`]. The operation clears it first.
    pub declined: Option<BufferBinding<'a>>,
    /// Receives the blocks, each padded to whole words: [`device_bytes`] of the format. Not written if the
    /// weights have that format.
    pub blocks: Option<BufferBinding<'a>>,
    /// Scratch memory of quantizers: [`scratch_bytes`].
    pub scratch: Option<BufferBinding<'a>>,
}

impl<'a> RoundTripBuffers<'a> {
    /// Weights, and another range that receives the decoded weights.
    pub fn new(weights: BufferBinding<'a>, result: BufferBinding<'a>) -> Self {
        Self { result: Some(result), ..Self::without_result(weights) }
    }

    /// Weights that become their decoded weights.
    pub fn in_place(weights: BufferBinding<'a>) -> Self {
        Self::new(weights.clone(), weights)
    }

    /// Weights that stay as they are, and a range that receives sums of squares.
    pub fn sums_only(weights: BufferBinding<'a>, sums: BufferBinding<'a>) -> Self {
        Self::without_result(weights).with_sums(sums)
    }

    fn without_result(weights: BufferBinding<'a>) -> Self {
        Self { weights, result: None, sums: None, declined: None, blocks: None, scratch: None }
    }

    /// Also computes sums of squares.
    #[must_use]
    pub fn with_sums(self, sums: BufferBinding<'a>) -> Self {
        Self { sums: Some(sums), ..self }
    }

    /// Tells which blocks were declined.
    #[must_use]
    pub fn with_declined(self, declined: BufferBinding<'a>) -> Self {
        Self { declined: Some(declined), ..self }
    }

    /// Brings the memory for blocks and scratch, which operations that run one after another can share.
    #[must_use]
    pub fn with_memory(self, blocks: BufferBinding<'a>, scratch: BufferBinding<'a>) -> Self {
        Self { blocks: Some(blocks), scratch: Some(scratch), ..self }
    }

    /// Whether the result is the range of the weights.
    fn is_in_place(&self) -> bool {
        self.result.as_ref().is_some_and(|result| {
            result.buffer == self.weights.buffer && result.offset == self.weights.offset
        })
    }
}

/// Bytes of the sums of `weights` weights: Σe² and Σw² as two f32 for each group of 256, of which the last
/// may have fewer.
pub fn error_sums_bytes(weights: u64) -> u64 {
    8 * weights.div_ceil(GROUP_WEIGHTS as u64)
}

/// The name and text of each kernel that takes no format.
pub(in crate::gpu) fn texts() -> impl Iterator<Item = (&'static str, Result<String, String>)> {
    [("clear_declined", clear_wgsl()), ("copy_weights", copy_wgsl())].into_iter()
}

fn clear_wgsl() -> Result<String, String> {
    preprocess("convert/clear_declined.wgsl", &[])
}

fn copy_wgsl() -> Result<String, String> {
    preprocess("convert/copy_weights.wgsl", &[])
}

impl Gpu {
    /// Prepares rounding `weights` weights of format `from`, which is F32, F16 or BF16, to what `to` keeps of
    /// them: encoding them and decoding the blocks, into another range or in place. Computes sums of squared
    /// errors too, or nothing else.
    ///
    /// This is the forward half of the straight-through estimator that
    /// [`cpu::round_trip`](crate::cpu::round_trip) describes. Keep the weights that are trained, write the
    /// rounded ones to another range, compute the loss with these, and apply their gradient to the former.
    ///
    /// For finite weights the result equals that of [`cpu::round_trip`](crate::cpu::round_trip) bit for bit,
    /// except in declined blocks, whose weights pass unchanged and whose bits in
    /// [`RoundTripBuffers::declined`] are set. Kernels decline a block whose largest magnitude is outside
    /// 2^-30..2^20 (K-quants a little within) and not 0, which is rare among trained weights. Sums equal
    /// those of [`ErrorSums`](crate::cpu::ErrorSums) bit for bit;
    /// [`ErrorSums::add_groups`](crate::cpu::ErrorSums::add_groups) adds them up. The result for the block of
    /// a NaN or an infinity is unspecified, and the sums of its group are NaN.
    ///
    /// The operation keeps what [`RoundTripBuffers`] leaves out in buffers of its own: at most 2 bytes a
    /// weight for quantized formats, [`device_bytes`] of `to` and [`scratch_bytes`]. Compiles kernels on
    /// first use. Fails with [`Error::Number`] if weights are no whole number of blocks, none or more than
    /// 2^32 - 1; [`Error::NotEncoded`] if there is no encoder, or `from` is not a float format;
    /// [`Error::Inexact`] on a device that must not quantize; [`Error::ShortRange`], [`Error::Misaligned`]
    /// and [`Error::Usage`] for an unsuitable range; [`Error::Device`] if two ranges are in one buffer; and
    /// with errors of the device.
    ///
    /// ```no_run
    /// # fn forward(gpu: &qmill::Gpu, weights: &qmill::wgpu::Buffer, rounded: &qmill::wgpu::Buffer,
    /// #     encoder: &mut qmill::wgpu::CommandEncoder) -> qmill::Result<()> {
    /// use qmill::{Format, gpu::RoundTripBuffers};
    ///
    /// // Once: 4,096 rows of 4,096 f32.
    /// let buffers =
    ///     RoundTripBuffers::new(weights.as_entire_buffer_binding(), rounded.as_entire_buffer_binding());
    /// let round = gpu.prepare_round_trip(Format::F32, Format::Q4_K, 4096 * 4096, &buffers)?;
    /// // In every step, before the products with `rounded`.
    /// round.record(encoder);
    /// # Ok(())
    /// # }
    /// ```
    pub fn prepare_round_trip(
        &self,
        from: Format,
        to: Format,
        weights: u64,
        buffers: &RoundTripBuffers,
    ) -> Result<Op> {
        let count = usize::try_from(weights).unwrap_or(usize::MAX);
        check_positive("the number of weights", count)?;
        check_blocks(to, count)?;
        if !from.is_float() || !to.info().can_quantize() {
            return Err(Error::NotEncoded { format: to });
        }
        self.check_separate(buffers)?;
        let mut own = [const { None }; 3];
        let [own_declined, own_blocks, own_scratch] = &mut own;
        let map_bytes = declined_bytes(to, weights);
        let declined = self.given_or_own(buffers.declined.as_ref(), own_declined, map_bytes)?;
        let map = Range::new("the declined blocks", &declined, map_bytes);
        let source = Range::new("the weights", &buffers.weights, device_bytes(from, weights));
        let result = buffers.result.as_ref();
        let result = result.map(|result| Range::new("the result", result, device_bytes(from, weights)));

        let clear = Bindings::new().write(DECLINED, &map);
        let mut op = self.prepare_plain("clear_declined", clear_wgsl, map_bytes / 4, &clear)?;
        if let Some(result) = result.as_ref().filter(|_| !buffers.is_in_place()) {
            // Declined blocks keep these weights.
            let copy = Bindings::new().read(SOURCE, &source).write(RESULT, result);
            let pairs = device_bytes(from, weights) / 8;
            op = op.then(self.prepare_plain("copy_weights", copy_wgsl, pairs, &copy)?);
        }
        // Weights of the same format are their own blocks.
        let mut blocks = buffers.weights.clone();
        if from != to {
            let bytes = device_bytes(to, weights);
            blocks = self.given_or_own(buffers.blocks.as_ref(), own_blocks, bytes)?;
            let bytes = scratch_bytes(to, weights);
            let scratch = self.given_or_own(buffers.scratch.as_ref(), own_scratch, bytes)?;
            let weights_binding = buffers.weights.clone();
            let quantize = QuantizeBuffers::new(weights_binding, blocks.clone(), declined.clone(), scratch);
            op = op.then(self.prepare_quantize(from, to, weights, &quantize)?);
        }
        let blocks = Range::new("the blocks", &blocks, device_bytes(to, weights));
        if let Some(sums) = &buffers.sums {
            let sums = Range::new("the sums", sums, error_sums_bytes(weights));
            let bindings = Bindings::new().read(SOURCE, &source).read(BLOCKS, &blocks);
            let bindings = bindings.read(DECLINED, &map).write(SUMS, &sums);
            let program = ConvertProgram { kernel: ConvertKernel::ErrorSums, format: to, weights: from };
            let params = ErrorSumsParams { weights: weights as u32 };
            op = op.then(Op::new([self.prepare_program(program, weights, &params, &bindings)?]));
        }
        if let Some(result) = result.filter(|_| from != to) {
            let bindings = Bindings::new().read(DECODED_BLOCKS, &blocks).write(RESULT, &result);
            let bindings = bindings.read(DECLINED, &map);
            let program = ConvertProgram { kernel: ConvertKernel::RoundTrip, format: to, weights: from };
            op = op.then(Op::new([self.prepare_conversion(program, weights, &bindings)?]));
        }
        Ok(op)
    }

    /// The range that the app brings, or a buffer of the operation's own.
    fn given_or_own<'b>(
        &self,
        given: Option<&BufferBinding<'b>>,
        own: &'b mut Option<wgpu::Buffer>,
        bytes: u64,
    ) -> Result<BufferBinding<'b>> {
        match given {
            Some(given) => Ok(given.clone()),
            None => Ok(own.insert(self.buffer(bytes, BufferUsages::STORAGE)?).as_entire_buffer_binding()),
        }
    }

    /// Prepares a kernel that takes no format.
    fn prepare_plain(
        &self,
        name: &str,
        wgsl: fn() -> Result<String, String>,
        invocations: u64,
        bindings: &Bindings,
    ) -> Result<Op> {
        let dispatch = Dispatch::of(invocations);
        let name = (name, Arithmetic::Exact);
        Ok(Op::new([self.prepare_step(name, |_| wgsl(), dispatch, &HeadParams::default(), bindings)?]))
    }

    /// Checks that each range is in a buffer of its own: wgpu lets no kernel read and write the same buffer.
    fn check_separate(&self, buffers: &RoundTripBuffers) -> Result<()> {
        let result = buffers.result.as_ref().filter(|_| !buffers.is_in_place());
        let ranges = [
            ("the weights", Some(&buffers.weights)),
            ("the result", result),
            ("the sums", buffers.sums.as_ref()),
            ("the declined blocks", buffers.declined.as_ref()),
            ("the blocks", buffers.blocks.as_ref()),
            ("scratch", buffers.scratch.as_ref()),
        ];
        let ranges: Vec<_> =
            ranges.iter().filter_map(|(name, range)| Some((name, (*range)?.buffer))).collect();
        for (i, (name, buffer)) in ranges.iter().enumerate() {
            if let Some((other, _)) = ranges[..i].iter().find(|(_, other)| other == buffer) {
                return Err(self.fault(format!("{other} and {name} are in one buffer of a round trip")));
            }
        }
        Ok(())
    }
}
