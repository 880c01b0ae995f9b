// What the formats share that multiply by vectors of a codebook: their signs, and the indices that have more than a byte.

#import lib/codes.wgsl

// Four signed bytes, none of them 0, where bit 8i of `spread` is a minus before byte i.
fn with_signs(bytes: u32, spread: u32) -> u32 {
  let minus = spread & 0x01010101u;
  return (bytes ^ ((minus << 8u) - minus)) + minus;
}

// Bit i of up to seven at 8i, for the first four of them, and at 8i - 28 for the others. No two of a product's bits meet.
fn spread(bits: u32) -> u32 { return bits * 0x00204081u; }

// The vector at this place of a book of eights, with the signs of the lowest seven bits and one that makes the number of minus signs even.
fn eight_even(index: u32, signs: u32) -> vec2<u32> {
  let seven = signs & 0x7fu;
  let first = spread(seven);
  let last = (first | (countOneBits(seven) << 28u)) >> 4u;
  return vec2<u32>(with_signs(grid_word(2u * index), first), with_signs(grid_word(2u * index + 1u), last));
}

// Two vectors of a book of fours, with those signs.
fn fours_even(first: u32, last: u32, signs: u32) -> vec2<u32> {
  let seven = signs & 0x7fu;
  let low = spread(seven);
  let high = (low | (countOneBits(seven) << 28u)) >> 4u;
  return vec2<u32>(with_signs(grid_word(first), low), with_signs(grid_word(last), high));
}

// The half of a word that a unit has, with whatever stands above it.
fn half_of(word: u32, unit: u32) -> u32 { return word >> (16u * (unit & 1u)); }

// d times 2sc + 1 of the two scales in the lowest byte.
fn two_scales(d: f32, scales: u32) -> vec2<f32> {
  return d * vec2<f32>(f32(((scales & 15u) << 1u) | 1u), f32(((scales >> 3u) & 30u) | 1u));
}

// Indices 0 and 2 of four, in the halves of a word, from their low bytes and from products that have what stands above those at bits 8 and 24.
fn even_indices(low: u32, high: u32, mask: u32) -> u32 { return (low & 0x00ff00ffu) | (high & mask); }

// Indices 1 and 3.
fn odd_indices(low: u32, high: u32, mask: u32) -> u32 { return ((low >> 8u) & 0x00ff00ffu) | (high & mask); }
