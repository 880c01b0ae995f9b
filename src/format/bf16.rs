//! BF16: the upper half of an f32, little-endian; 16 bits per weight. ggml's `ggml_fp32_to_bf16_row_ref`.

use super::bits::{bf16_to_f32, f32_to_bf16};
use super::{Codec, Encode, to_decode, to_encode};

pub(super) struct BF16;

impl Codec for BF16 {
    const WEIGHTS: usize = 1;
    const BYTES: usize = 2;
    const SHADER: &'static str = include_str!("../../shaders/format/bf16.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (&block, [w]) in to_decode(blocks, weights) {
            *w = bf16_to_f32(u16::from_le_bytes(block));
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        block[1] & 0x7f != 0x7f || block[0] & 0x80 == 0
    }
}

impl Encode for BF16 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (&[w], block) in to_encode(weights, blocks) {
            *block = f32_to_bf16(w).to_le_bytes();
        }
    }
}
