//! f32 to the bytes of any format that needs no calibration data.

use crate::{Error, Format, Result};

/// Encodes `weights` into whole blocks of `format`.
///
/// `bytes` receives the blocks one after the other. Fails with [`Error::Length`] when the two do not fit and
/// with [`Error::NotEncoded`] where qmill has no encoder. Byte for byte ggml's `quantize_row_*_ref` (for
/// `IQ4_NL`, `quantize_iq4_nl`) for finite weights; the result for a NaN or an infinity is unspecified.
pub fn quantize(format: Format, weights: &[f32], bytes: &mut [u8]) -> Result<()> {
    super::check_lengths(format, weights.len(), bytes.len())?;
    let quantize = format.quantize_blocks().ok_or(Error::NotEncoded { format })?;
    quantize(weights, bytes);
    Ok(())
}
