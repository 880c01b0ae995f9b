// BF16: the upper 16 bits of the weight as f32.

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
  let at = 8u * quad;
  let bits = vec4<u32>(half(block, at), half(block, at + 2u), half(block, at + 4u), half(block, at + 6u));
  return bits << vec4<u32>(16u);
}
#endif

#ifdef FLOATS
// Quad `quad` of the eight weights of a vec4.
fn floats(words: vec4<u32>, quad: u32) -> vec4<f32> {
  let two = select(words.xy, words.zw, quad == 1u);
  return bitcast<vec4<f32>>(vec4<u32>(two.x << 16u, two.x, two.y << 16u, two.y) & vec4<u32>(0xffff0000u));
}
#endif
