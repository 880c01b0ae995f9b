// F16: the weight as IEEE half precision.

#ifdef QUANTIZE
fn quantize(block: u32) {
  let w = weight_bits(block);
  let at = block * BLOCK_WORDS;
  blocks[at] = f32_bits_to_f16(w.x) | (f32_bits_to_f16(w.y) << 16u);
  blocks[at + 1u] = f32_bits_to_f16(w.z) | (f32_bits_to_f16(w.w) << 16u);
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  return vec4<u32>(scale_bits(block, 0u), scale_bits(block, 2u), scale_bits(block, 4u), scale_bits(block, 6u));
}
#endif
