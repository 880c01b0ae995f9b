// What the formats share whose codes point to vectors of a codebook: a weight is d times a small integer, over a power of two.
//
// That integer has at most 11 bits and d has 11, so no product is rounded, whatever the order that ggml multiplies in.

#import lib/decoder.wgsl

// Four elements of a vector. One of eight elements is two words of the grid, one of four is one.
fn levels(word: u32) -> vec4<i32> { return unpack4xI8(grid_word(word)); }

// The n-th four bits from a byte of a block on.
fn nibble(block: u32, at: u32, n: u32) -> u32 { return (byte(block, at + (n >> 1u)) >> ((n & 1u) * 4u)) & 15u; }

// Eight signs from the seven that are stored: the number of minus signs is even.
fn even_signs(seven: u32) -> u32 {
  let stored = seven & 0x7fu;
  return stored | ((countOneBits(stored) & 1u) << 7u);
}

// v, with a minus where its bit in the lowest four of signs is set.
fn with_signs(v: vec4<i32>, signs: u32) -> vec4<i32> {
  return select(v, -v, (vec4<u32>(signs) & vec4<u32>(1u, 2u, 4u, 8u)) != vec4<u32>(0u));
}

// The f32 bits of d·2^-n for an f16 d, whose least magnitude leaves room below.
fn scale_over(d: u32, n: u32) -> u32 {
  let bits = f16_to_f32_bits(d);
  let size = bits & 0x7fffffffu;
  return select(bits - (n << 23u), bits, size == 0u || size >= 0x7f800000u);
}
