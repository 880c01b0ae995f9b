// F32: the weight as it is.

#ifdef QUANTIZE
fn quantize(block: u32) {
  let w = weight_bits(block);
  let at = block * BLOCK_WORDS;
  blocks[at] = w.x;
  blocks[at + 1u] = w.y;
  blocks[at + 2u] = w.z;
  blocks[at + 3u] = w.w;
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  return vec4<u32>(word(block, 0u), word(block, 1u), word(block, 2u), word(block, 3u));
}
#endif

#ifdef FLOATS
// The four weights of a vec4.
fn floats(words: vec4<u32>, quad: u32) -> vec4<f32> { return bitcast<vec4<f32>>(words); }
#endif
