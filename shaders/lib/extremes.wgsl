// Extremes of consecutive quads, computed on integers: with floats a device may flush subnormals and confuse
// the signs of zeros, and ggml keeps the first of equals.

// The bits of the largest |w| in quads x to x + quads - 1.
fn largest_magnitude(x: u32, quads: u32) -> u32 {
  var largest = 0u;
  for (var i = 0u; i < quads; i++) {
    largest = max(largest, largest4(weight_bits(x + i)));
  }
  return largest;
}

// The bits with the larger magnitude; the first of equals.
fn larger(a: u32, b: u32) -> u32 { return select(a, b, (b << 1u) > (a << 1u)); }

// The bits of the first w with the largest |w|; those of +0 where all are 0 or -0.
fn first_of_largest_magnitude(x: u32, quads: u32) -> u32 {
  var first = 0u;
  for (var i = 0u; i < quads; i++) {
    let w = weight_bits(x + i);
    first = larger(first, larger(larger(w.x, w.y), larger(w.z, w.w)));
  }
  return first;
}

// Maps bits to integers in the order of the floats, with -0 below 0, and back.
fn ordered(bits: vec4<i32>) -> vec4<i32> { return bits ^ ((bits >> vec4<u32>(31u)) & vec4<i32>(0x7fffffff)); }

fn ordered_weights(i: u32) -> vec4<i32> { return ordered(bitcast<vec4<i32>>(weight_bits(i))); }

// The first zero, 0 or -0; 0 where there is none.
fn first_zero(x: u32, quads: u32) -> u32 {
  var zero = 0u;
  for (var i = quads; i > 0u; i--) {
    let w = weight_bits(x + i - 1u);
    let is_zero = (w << vec4<u32>(1u)) == vec4<u32>(0u);
    let first_of_last_two = select(select(zero, w.w, is_zero.w), w.z, is_zero.z);
    zero = select(select(first_of_last_two, w.y, is_zero.y), w.x, is_zero.x);
  }
  return zero;
}

// The bits of two weights.
struct Extremes {
  least: u32,
  greatest: u32,
}

// The bits of the least and the greatest w. A least of 0 has the sign of the first zero; a greatest of 0 has
// either sign.
fn least_and_greatest(x: u32, quads: u32) -> Extremes {
  var low = ordered_weights(x);
  var high = low;
  for (var i = 1u; i < quads; i++) {
    let w = ordered_weights(x + i);
    low = min(low, w);
    high = max(high, w);
  }
  let least = min(min(low.x, low.y), min(low.z, low.w));
  let greatest = max(max(high.x, high.y), max(high.z, high.w));
  let ends = bitcast<vec4<u32>>(ordered(vec4<i32>(least, greatest, 0, 0)));
  var extremes = Extremes(ends.x, ends.y);
  if ((ends.x << 1u) == 0u) {
    extremes.least = first_zero(x, quads);
  }
  return extremes;
}

// The bits of the largest |w|, from the extremes.
fn largest_extreme(extremes: Extremes) -> u32 {
  return max(extremes.least & 0x7fffffffu, extremes.greatest & 0x7fffffffu);
}
