// IQ2_XS: d f16, 32 codes of 9 bits of index and 7 signs, 16 scales of 4 bits; w = ± d·(2sc + 1)/8·vector.

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let v = quad >> 1u;
  let right = quad & 1u;
  let code = half(block, 2u + 2u * v);
  let index = code & 511u;
  let signs = even_signs(code >> 9u) >> (4u * right);
  let multiple = i32(2u * nibble(block, 66u, quad >> 2u) + 1u);
  return scaled(scale_over(half(block, 0u), 3u), with_signs(levels(2u * index + right), signs) * multiple);
}
#endif
