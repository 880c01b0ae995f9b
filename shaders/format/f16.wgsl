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
  let at = 8u * quad;
  return vec4<u32>(
    scale_bits(block, at),
    scale_bits(block, at + 2u),
    scale_bits(block, at + 4u),
    scale_bits(block, at + 6u));
}
#endif

#ifdef FLOATS
#import lib/f16_value.wgsl

// Quad `quad` of the eight weights of a vec4.
fn floats(words: vec4<u32>, quad: u32) -> vec4<f32> {
  let two = select(words.xy, words.zw, quad == 1u);
  return vec4<f32>(f16_values(two.x), f16_values(two.y));
}
#endif
