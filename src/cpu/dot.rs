//! The product of one quantized row and one vector.

use super::Float;
use crate::{Format, Result};

/// The dot product of a row of `format` and `x`, accumulated in f64.
///
/// `bytes` holds the row's blocks, `x` as many numbers, f32, f16 or bf16, as the row has weights; otherwise
/// it fails with [`Error::Length`](crate::Error::Length). Each product of two f32 is exact in f64, so the
/// error is that of the f64 sum alone.
pub fn dot<X: Float>(format: Format, bytes: &[u8], x: &[X]) -> Result<f64> {
    super::check_lengths(format, x.len(), bytes.len())?;
    let info = format.info();
    let blocks_at_once = (4096 / info.block_weights).max(1);
    let mut weights = [0f32; 4096];
    let mut room = Vec::new();
    let parts = bytes.chunks(blocks_at_once * info.block_bytes);
    let sum = parts.zip(x.chunks(blocks_at_once * info.block_weights)).map(|(part, x)| {
        let weights = &mut weights[..x.len()];
        format.dequantize_blocks(part, weights);
        weights.iter().zip(X::widened(x, &mut room)).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum::<f64>()
    });
    Ok(sum.sum())
}
