//! Bytes of any format to floats.

use super::{Float, TILE_WEIGHTS};
use crate::{Format, Result};

/// Decodes whole blocks of `format` into f32, f16 or bf16.
///
/// `bytes` holds any number of blocks, and `weights` has the length of their weights; otherwise it fails with
/// [`Error::Length`](crate::Error::Length). The weights equal those of ggml's `dequantize_row_*` bit for bit;
/// f16 and bf16 are rounded to nearest.
pub fn dequantize<W: Float>(format: Format, bytes: &[u8], weights: &mut [W]) -> Result<()> {
    super::check_lengths(format, weights.len(), bytes.len())?;
    let mut buffer = Vec::new();
    let tile_bytes = format.bytes_for(TILE_WEIGHTS as u64) as usize;
    for (bytes, weights) in bytes.chunks(tile_bytes).zip(weights.chunks_mut(TILE_WEIGHTS)) {
        format.dequantize_blocks(bytes, W::wide_mut(weights, &mut buffer));
        W::store(weights, &buffer);
    }
    Ok(())
}
