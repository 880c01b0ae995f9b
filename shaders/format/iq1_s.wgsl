// IQ1_S: d f16, 32 low bytes of indices, for each 32 weights four times 3 high bits, sc and the sign of the shift;
// w = d·(2sc + 1)/8·(8·vector ± 1).

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let v = quad >> 1u;
  let rest = half(block, 34u + 2u * (v >> 2u));
  let high = (rest >> (3u * (v & 3u))) & 7u;
  let index = byte(block, 2u + v) | (high << 8u);
  let shift = 1 - 2 * i32(rest >> 15u);
  let multiple = i32(2u * ((rest >> 12u) & 7u) + 1u);
  return scaled(scale_over(half(block, 0u), 3u), (8 * levels(2u * index + (quad & 1u)) + shift) * multiple);
}
#endif
