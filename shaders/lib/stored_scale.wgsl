// The common part of second passes: the stored scales of a block, each an integer times d, and the codes for
// them.

#import lib/scale_search.wgsl

fn found_scale(sub_block: u32) -> f32 { return bitcast<f32>(scratch[sub_block].x); }

// The scale of largest magnitude in a block, with its sign. Declines the block where the search declined a
// sub-block, which scratch[…].w says.
fn largest_scale(block: u32) -> f32 {
  var largest = 0.0;
  var declined = 0u;
  for (var s = block * SUB_BLOCKS; s < (block + 1u) * SUB_BLOCKS; s++) {
    largest = larger(largest, found_scale(s));
    declined |= scratch[s].w;
  }
  if (declined != 0u) {
    decline(block);
  }
  return largest;
}

// d, as an f16 and as its value, with which the largest scale becomes `lowest`·d, and the multiplier that
// turns scales into integers; `lowest` apart, all are 0 for a block of zeros.
struct SuperScale {
  half: u32,
  d: f32,
  inverse: f32,
  lowest: f32,
}

fn super_scale(block: u32, lowest: f32) -> SuperScale {
  let largest = largest_scale(block);
  let zero = largest == 0.0;
  let inverse = select(divide(lowest, largest), 0.0, zero);
  let half = select(f32_bits_to_f16(bitcast<u32>(divide(1.0, inverse))), 0u, zero);
  return SuperScale(half, bitcast<f32>(f16_to_f32_bits(half)), inverse, lowest);
}

// The stored integer of a sub-block's scale.
fn stored_scale(sub_block: u32, s: SuperScale) -> f32 {
  return clamp(round(s.inverse * found_scale(sub_block)), s.lowest, -1.0 - s.lowest);
}

// The stored integers of four sub-blocks.
fn stored_scales(first: u32, s: SuperScale) -> vec4<i32> {
  return vec4<i32>(vec4<f32>(
    stored_scale(first, s),
    stored_scale(first + 1u, s),
    stored_scale(first + 2u, s),
    stored_scale(first + 3u, s)));
}

// The integers nearest to x / scale, ties to even, within low..=high, for a scale that is not 0.
//
// A stored scale has so few bits that (n + ½)·scale is exact. So a quotient that is not n + ½ does not become
// n + ½ by being rounded to f32 either.
fn rounded_quotients(x: vec4<f32>, scale: f32, low: f32, high: f32) -> vec4<i32> {
  let size = abs(scale);
  let v = select(x, -x, vec4<bool>(scale < 0.0));
  let below = floor(clamp(v * (1.0 / size), vec4<f32>(low), vec4<f32>(high - 0.5)));
  let middle = (below + vec4<f32>(0.5)) * size;
  let n = vec4<i32>(below);
  let up = (v > middle) | ((v == middle) & ((n & vec4<i32>(1)) == vec4<i32>(1)));
  return n + select(vec4<i32>(0), vec4<i32>(1), up);
}
