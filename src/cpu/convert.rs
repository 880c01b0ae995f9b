//! Bytes of one format to bytes of another.

use super::TILE_WEIGHTS;
use crate::Format;

/// Decodes whole blocks of `from` and encodes the weights into whole blocks of `to`, which must have an
/// encoder.
pub(crate) fn convert(from: Format, input: &[u8], to: Format, output: &mut [u8]) {
    let quantize = to.quantize_blocks().expect("the caller has checked that the format has an encoder");
    let mut weights = Vec::new();
    let tile_bytes = |format: Format| format.bytes_for(TILE_WEIGHTS as u64) as usize;
    for (input, output) in input.chunks(tile_bytes(from)).zip(output.chunks_mut(tile_bytes(to))) {
        weights.resize(input.len() / from.info().block_bytes * from.info().block_weights, 0.0);
        from.dequantize_blocks(input, &mut weights);
        quantize(&weights, output);
    }
}
