//! Floats to bytes of any format that needs no calibration data.

use super::{Float, TILE_WEIGHTS};
use crate::{Error, Format, Result};

/// Encodes `weights`, f32, f16 or bf16, into whole blocks of `format`.
///
/// `bytes` has the length of the blocks; otherwise it fails with [`Error::Length`]. Fails with
/// [`Error::NotEncoded`] if qmill has no encoder. For finite weights the bytes equal those of ggml's
/// `quantize_row_*_ref` (for `IQ4_NL`, `quantize_iq4_nl`). The result for a NaN or an infinity is
/// unspecified.
pub fn quantize<W: Float>(format: Format, weights: &[W], bytes: &mut [u8]) -> Result<()> {
    super::check_lengths(format, weights.len(), bytes.len())?;
    let quantize = format.quantize_blocks().ok_or(Error::NotEncoded { format })?;
    let mut buffer = Vec::new();
    let tile_bytes = format.bytes_for(TILE_WEIGHTS as u64) as usize;
    for (weights, bytes) in weights.chunks(TILE_WEIGHTS).zip(bytes.chunks_mut(tile_bytes)) {
        quantize(W::widened(weights, &mut buffer), bytes);
    }
    Ok(())
}
