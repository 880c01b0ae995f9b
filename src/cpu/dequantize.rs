//! Bytes of any format to floats.

use super::{Float, TILE_WEIGHTS};
use crate::{Format, Result};

/// Decodes whole blocks of `format` into f32, f16 or bf16.
///
/// `bytes` holds any number of blocks, one after the other; `weights` receives as many weights as they store.
/// Fails with [`Error::Length`](crate::Error::Length) when the two do not fit. Bit for bit ggml's
/// `dequantize_row_*`, in f16 and bf16 rounded to the nearest.
pub fn dequantize<W: Float>(format: Format, bytes: &[u8], weights: &mut [W]) -> Result<()> {
    super::check_lengths(format, weights.len(), bytes.len())?;
    let mut room = Vec::new();
    let tile_bytes = format.bytes_for(TILE_WEIGHTS as u64) as usize;
    for (bytes, weights) in bytes.chunks(tile_bytes).zip(weights.chunks_mut(TILE_WEIGHTS)) {
        format.dequantize_blocks(bytes, W::wide_mut(weights, &mut room));
        W::store(weights, &room);
    }
    Ok(())
}
