// IQ2_S: d f16, 32 low bytes of indices, 32 bytes of signs, two high bits of each index, 16 scales of 4 bits; w = ± d·(2sc + 1)/8·vector.

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let v = quad >> 1u;
  let right = quad & 1u;
  let high = (byte(block, 66u + (v >> 2u)) >> (2u * (v & 3u))) & 3u;
  let index = byte(block, 2u + v) | (high << 8u);
  let signs = byte(block, 34u + v) >> (4u * right);
  let multiple = i32(2u * nibble(block, 74u, quad >> 2u) + 1u);
  return scaled(scale_over(half(block, 0u), 3u), with_signs(levels(2u * index + right), signs) * multiple);
}
#endif
