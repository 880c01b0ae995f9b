// IQ2_XXS: d f16, then for each 32 weights four indices of 8 bits and a word of four times 7 signs and sc; w = ± d·(2sc + 1)/8·vector.

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let at = 2u + 8u * (quad >> 3u);
  let v = (quad >> 1u) & 3u;
  let right = quad & 1u;
  let index = byte(block, at + v);
  let rest = bytes_at(block, at + 4u);
  let signs = even_signs(rest >> (7u * v)) >> (4u * right);
  let multiple = i32(2u * (rest >> 28u) + 1u);
  return scaled(scale_over(half(block, 0u), 3u), with_signs(levels(2u * index + right), signs) * multiple);
}
#endif
