//! Bytes of any format to f32.

use crate::{Format, Result};

/// Decodes whole blocks of `format` into f32.
///
/// `bytes` holds any number of blocks, one after the other; `weights` receives as many weights as they store.
/// Fails with [`Error::Length`](crate::Error::Length) when the two do not fit. Bit for bit ggml's
/// `dequantize_row_*`.
pub fn dequantize(format: Format, bytes: &[u8], weights: &mut [f32]) -> Result<()> {
    super::check_lengths(format, weights.len(), bytes.len())?;
    format.dequantize_blocks(bytes, weights);
    Ok(())
}
