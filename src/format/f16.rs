//! F16: IEEE half precision, little-endian; 16 bits per weight. ggml's `ggml_fp32_to_fp16_row`.

use super::bits::{f16_is_finite_at, f16_to_f32, f32_to_f16};
use super::{Codec, Encode, to_decode, to_encode};

pub(super) struct F16;

impl Codec for F16 {
    const WEIGHTS: usize = 1;
    const BYTES: usize = 2;
    const SHADER: &'static str = include_str!("../../shaders/format/f16.wgsl");

    #[inline(always)]
    fn dequantize(blocks: &[u8], weights: &mut [f32]) {
        for (&block, [w]) in to_decode(blocks, weights) {
            *w = f16_to_f32(u16::from_le_bytes(block));
        }
    }

    #[inline(always)]
    fn is_valid(block: &[u8]) -> bool {
        f16_is_finite_at(block, 0)
    }
}

impl Encode for F16 {
    #[inline(always)]
    fn quantize(weights: &[f32], blocks: &mut [u8]) {
        for (&[w], block) in to_encode(weights, blocks) {
            *block = f32_to_f16(w).to_le_bytes();
        }
    }
}
