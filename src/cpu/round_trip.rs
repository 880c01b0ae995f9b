//! Weights to the weights that a format makes of them.

use super::Float;
use crate::{Error, Format, Result};

/// Weights that are encoded and decoded at a time. Weights, bytes and decoded weights stay in an L1 or L2
/// cache; whole blocks of every format.
pub(super) const STEP_WEIGHTS: usize = 4096;

/// Rounds weights to what `format` keeps of them: `result` receives `dequantize(quantize(weights))`.
///
/// Weights are f32, f16 or bf16, any whole number of blocks of any format with an encoder. The result equals
/// [`cpu::quantize`](crate::cpu::quantize) followed by [`cpu::dequantize`](crate::cpu::dequantize) bit for
/// bit, hence the weights that a program reads from the quantized file. Nothing is allocated but scratch for
/// 4,096 weights. Fails with [`Error::Number`] if the lengths differ or the weights are no whole number of
/// blocks, and with [`Error::NotEncoded`] if qmill has no encoder. Weights must be finite; the result for
/// the block of a NaN or an infinity is unspecified.
///
/// # Training for a format
///
/// Quantization-aware training computes the loss with the rounded weights, so that it lowers the loss of the
/// quantized model. The rounding is a step function, whose derivative is zero almost everywhere. The
/// **straight-through estimator** takes it for the identity in the backward pass:
///
/// 1. Forward: `y = f(round_trip(w))`.
/// 2. Backward: compute the gradient `g` with respect to `round_trip(w)`.
/// 3. Update: `w -= rate·g`, on the weights themselves, which stay f32 and are never overwritten by the
///    rounded ones. Small steps add up in them until a code changes.
///
/// In the end `w` is quantized to `format` as any model is. `examples/quantization_aware_training.rs` does
/// so. On a GPU, [`Gpu::prepare_round_trip`](crate::Gpu::prepare_round_trip) makes the same weights.
pub fn round_trip<W: Float>(format: Format, weights: &[W], result: &mut [W]) -> Result<()> {
    super::check_length("the length of the result", weights.len(), result.len())?;
    check_blocks(format, weights.len())?;
    let quantize = format.quantize_blocks().ok_or(Error::NotEncoded { format })?;
    let (mut wide, mut bytes) = (Vec::new(), Vec::new());
    for (weights, result) in weights.chunks(STEP_WEIGHTS).zip(result.chunks_mut(STEP_WEIGHTS)) {
        bytes.resize(format.bytes_for(weights.len() as u64) as usize, 0);
        quantize(W::widened(weights, &mut wide), &mut bytes);
        format.dequantize_blocks(&bytes, W::wide_mut(result, &mut wide));
        W::store(result, &wide);
    }
    Ok(())
}

/// [`round_trip`] in place. Fails as that does, and then leaves the weights as they are.
pub fn round_trip_in_place<W: Float>(format: Format, weights: &mut [W]) -> Result<()> {
    check_blocks(format, weights.len())?;
    let quantize = format.quantize_blocks().ok_or(Error::NotEncoded { format })?;
    let (mut wide, mut bytes) = (Vec::new(), Vec::new());
    for weights in weights.chunks_mut(STEP_WEIGHTS) {
        bytes.resize(format.bytes_for(weights.len() as u64) as usize, 0);
        quantize(W::widened(weights, &mut wide), &mut bytes);
        format.dequantize_blocks(&bytes, W::wide_mut(weights, &mut wide));
        W::store(weights, &wide);
    }
    Ok(())
}

/// Checks that `weights` weights are whole blocks of `format`.
pub(crate) fn check_blocks(format: Format, weights: usize) -> Result<()> {
    let block = format.info().block_weights;
    if weights.is_multiple_of(block) {
        return Ok(());
    }
    let needed = format!("a multiple of {block}, the block of {format}");
    Err(Error::Number { what: "the number of weights", needed, found: weights as u64 })
}
