//! Floats to the bytes of any format that needs no calibration data.

use super::{Float, TILE_WEIGHTS};
use crate::{Error, Format, Result};

/// Encodes `weights`, f32, f16 or bf16, into whole blocks of `format`.
///
/// `bytes` receives the blocks one after the other. Fails with [`Error::Length`] when the two do not fit and
/// with [`Error::NotEncoded`] where qmill has no encoder. Byte for byte ggml's `quantize_row_*_ref` (for
/// `IQ4_NL`, `quantize_iq4_nl`) for finite weights; the result for a NaN or an infinity is unspecified.
pub fn quantize<W: Float>(format: Format, weights: &[W], bytes: &mut [u8]) -> Result<()> {
    super::check_lengths(format, weights.len(), bytes.len())?;
    let quantize = format.quantize_blocks().ok_or(Error::NotEncoded { format })?;
    let mut room = Vec::new();
    let tile_bytes = format.bytes_for(TILE_WEIGHTS as u64) as usize;
    for (weights, bytes) in weights.chunks(TILE_WEIGHTS).zip(bytes.chunks_mut(tile_bytes)) {
        quantize(W::widened(weights, &mut room), bytes);
    }
    Ok(())
}
