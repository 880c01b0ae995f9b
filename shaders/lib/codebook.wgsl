// Decoding of formats whose codes are indices into a codebook of vectors: a weight is d times a small
// integer, divided by a power of two.
//
// The integer has at most 11 bits and d has 11, so the product is exact, in whatever order ggml multiplies.

#import lib/decoder.wgsl

// Four elements of a vector, from a word of the grid. A vector of eight elements has two words, one of four
// has one.
fn levels(word: u32) -> vec4<i32> { return unpack4xI8(grid_word(word)); }

// Nibble `n` of a block, counted from byte `at` on, the low one of a byte first.
fn nibble(block: u32, at: u32, n: u32) -> u32 {
  return (byte(block, at + (n >> 1u)) >> ((n & 1u) * 4u)) & 15u;
}

// Eight signs from the seven that are stored: the eighth makes the number of minus signs even.
fn even_signs(seven: u32) -> u32 {
  let stored = seven & 0x7fu;
  return stored | ((countOneBits(stored) & 1u) << 7u);
}

// `v`, negated where the element's bit in the lowest four of `signs` is set.
fn with_signs(v: vec4<i32>, signs: u32) -> vec4<i32> {
  return select(v, -v, (vec4<u32>(signs) & vec4<u32>(1u, 2u, 4u, 8u)) != vec4<u32>(0u));
}

// The f32 bits of d·2^-n for an f16 d, which f32 can hold without subnormals.
fn scale_over(d: u32, n: u32) -> u32 {
  let bits = f16_to_f32_bits(d);
  let size = bits & 0x7fffffffu;
  return select(bits - (n << 23u), bits, size == 0u || size >= 0x7f800000u);
}
