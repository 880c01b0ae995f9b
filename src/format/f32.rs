//! F32: the weight itself, little-endian; 32 bits per weight.

use super::{Codec, Encode, to_decode, to_encode};

pub(super) struct F32;

impl Codec for F32 {
    const WEIGHTS: usize = 1;
    const BYTES: usize = 4;
    const SHADER: &'static str = include_str!("../../shaders/format/f32.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (&block, [w]) in to_decode(blocks, weights) {
            *w = f32::from_le_bytes(block);
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        let bits = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        bits & 0x7f80_0000 != 0x7f80_0000
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
