// Products with weights that are vectors of a codebook: their signs, and indices of more than a byte.

#import lib/codes.wgsl

// Four signed bytes, none of them 0; byte i is negated where bit 8i of `spread` is set.
fn with_signs(bytes: u32, spread: u32) -> u32 {
  let minus = spread & 0x01010101u;
  return (bytes ^ ((minus << 8u) - minus)) + minus;
}

// Moves bit i of seven to bit 8i, for the first four, and to bit 8i - 28 for the others. No two bits of the
// product coincide.
fn spread(bits: u32) -> u32 { return bits * 0x00204081u; }

// Vector `index` of a codebook of vectors of eight, with the signs of the lowest seven bits and one that
// makes the number of minus signs even.
fn eight_even(index: u32, signs: u32) -> vec2<u32> {
  let seven = signs & 0x7fu;
  let first = spread(seven);
  let last = (first | (countOneBits(seven) << 28u)) >> 4u;
  return vec2<u32>(with_signs(grid_word(2u * index), first), with_signs(grid_word(2u * index + 1u), last));
}

// Two vectors of a codebook of vectors of four, with signs in the same form.
fn fours_even(first: u32, last: u32, signs: u32) -> vec2<u32> {
  let seven = signs & 0x7fu;
  let low = spread(seven);
  let high = (low | (countOneBits(seven) << 28u)) >> 4u;
  return vec2<u32>(with_signs(grid_word(first), low), with_signs(grid_word(last), high));
}

// The 16 bits of a word that belong to a unit; the bits above them mean nothing.
fn half_of(word: u32, unit: u32) -> u32 { return word >> (16u * (unit & 1u)); }

// d·(2sc + 1) for the two scales in the lowest byte.
fn two_scales(d: f32, scales: u32) -> vec2<f32> {
  return d * vec2<f32>(f32(((scales & 15u) << 1u) | 1u), f32(((scales >> 3u) & 30u) | 1u));
}

// Indices 0 and 2 of four, in the two 16-bit halves of a word, from the low bytes of all four and from a
// product that has the bits above the low bytes at bits 8 and 24.
fn even_indices(low: u32, high: u32, mask: u32) -> u32 { return (low & 0x00ff00ffu) | (high & mask); }

// Indices 1 and 3, in the same way.
fn odd_indices(low: u32, high: u32, mask: u32) -> u32 {
  return ((low >> 8u) & 0x00ff00ffu) | (high & mask);
}
