// IQ1_M: 32 low bytes of indices, for each index 3 high bits and the sign of the shift, four times 4 scales of 3 bits and 4 bits of d;
// w = d·(2sc + 1)/8·(8·vector ± 1).

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let v = quad >> 1u;
  let rest = nibble(block, 32u, v);
  let index = byte(block, v) | ((rest & 7u) << 8u);
  let shift = 1 - 2 * i32(rest >> 3u);
  let scales = half(block, 48u + 2u * (v >> 3u));
  let multiple = i32(2u * ((scales >> (3u * ((v >> 1u) & 3u))) & 7u) + 1u);
  let d = (half(block, 48u) >> 12u) | ((half(block, 50u) >> 8u) & 0xf0u) | ((half(block, 52u) >> 4u) & 0xf00u) | (half(block, 54u) & 0xf000u);
  return scaled(scale_over(d, 3u), (8 * levels(2u * index + (quad & 1u)) + shift) * multiple);
}
#endif
