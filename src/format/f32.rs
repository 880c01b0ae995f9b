//! F32: the weight itself, little-endian; 32 bits per weight.

use super::{Codec, Encode, to_decode, to_encode};

pub(super) struct F32;

impl Codec for F32 {
    const WEIGHTS: usize = 1;
    const BYTES: usize = 4;

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (&block, [w]) in to_decode(blocks, weights) {
            *w = f32::from_le_bytes(block);
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        block[3] & 0x7f != 0x7f || block[2] & 0x80 == 0
    }
}

impl Encode for F32 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for ([w], block) in to_encode(weights, blocks) {
            *block = w.to_le_bytes();
        }
    }
}
