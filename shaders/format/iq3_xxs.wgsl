// IQ3_XXS: d f16, 64 indices of 8 bits, for each 32 weights a word of four times 7 signs and sc; w = ± d·(2sc + 1)/4·vector.

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let index = byte(block, 2u + quad);
  let rest = bytes_at(block, 66u + 4u * (quad >> 3u));
  let signs = even_signs(rest >> (7u * ((quad >> 1u) & 3u))) >> (4u * (quad & 1u));
  let multiple = i32(2u * (rest >> 28u) + 1u);
  return scaled(scale_over(half(block, 0u), 2u), with_signs(levels(index), signs) * multiple);
}
#endif
