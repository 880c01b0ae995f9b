// IQ3_S: d f16, 64 low bytes of indices, a high bit of each, 64 times 4 signs, 8 scales of 4 bits; w = ± d·(2sc + 1)·vector.

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let high = (byte(block, 66u + (quad >> 3u)) >> (quad & 7u)) & 1u;
  let index = byte(block, 2u + quad) | (high << 8u);
  let signs = nibble(block, 74u, quad);
  let multiple = i32(2u * nibble(block, 106u, quad >> 3u) + 1u);
  return scaled(scale_bits(block, 0u), with_signs(levels(index), signs) * multiple);
}
#endif
