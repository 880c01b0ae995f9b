//! The product of one quantized row and one vector.

use super::Float;
use crate::{Format, Result};

/// The dot product of a row of `format` and `x`, accumulated in f64.
///
/// `bytes` holds the blocks of the row, and `x` has the length of its weights; otherwise it fails with
/// [`Error::Length`](crate::Error::Length). A product of two f32 is exact in f64, so only the f64 sum has an
/// error.
pub fn dot<X: Float>(format: Format, bytes: &[u8], x: &[X]) -> Result<f64> {
    super::check_lengths(format, x.len(), bytes.len())?;
    let info = format.info();
    let blocks_at_once = (4096 / info.block_weights).max(1);
    let mut weights = [0f32; 4096];
    let mut buffer = Vec::new();
    let parts = bytes.chunks(blocks_at_once * info.block_bytes);
    let sum = parts.zip(x.chunks(blocks_at_once * info.block_weights)).map(|(part, x)| {
        let weights = &mut weights[..x.len()];
        format.dequantize_blocks(part, weights);
        weights
            .iter()
            .zip(X::widened(x, &mut buffer))
            .map(|(&w, &x)| f64::from(w) * f64::from(x))
            .sum::<f64>()
    });
    Ok(sum.sum())
}
