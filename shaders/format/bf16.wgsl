// BF16: the upper half of the weight as f32.

#ifdef QUANTIZE
fn quantize(block: u32) {
  let w = weight_bits(block);
  let at = block * BLOCK_WORDS;
  blocks[at] = f32_bits_to_bf16(w.x) | (f32_bits_to_bf16(w.y) << 16u);
  blocks[at + 1u] = f32_bits_to_bf16(w.z) | (f32_bits_to_bf16(w.w) << 16u);
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  return vec4<u32>(half(block, 0u), half(block, 2u), half(block, 4u), half(block, 6u)) << vec4<u32>(16u);
}
#endif
