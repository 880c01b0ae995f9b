// An int8 block, which products take: 32 numbers as signed bytes under a scale, in three vec4s.
//
// The scale is 1/127 of the largest magnitude, so the error of a number is at most 1/254 of that magnitude,
// and a little more for rounding.

struct Int8Block {
  // Signed bytes, four in a word: the first 16 numbers, and the last 16.
  a: vec4<u32>,
  b: vec4<u32>,
  // The scale; the sums of the bytes of `a` and of `b`, 16 bits each; the sum of all bytes as an integer, and
  // as a float.
  head: vec4<u32>,
}

fn largest_of(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return max(abs(a), abs(b)); }

fn int8_codes(x: vec4<f32>, multiplier: f32) -> vec4<i32> {
  return vec4<i32>(round(clamp(x * multiplier, vec4<f32>(-127.0), vec4<f32>(127.0))));
}

fn sum_of(codes: vec4<i32>) -> i32 { return codes.x + codes.y + codes.z + codes.w; }

// The scale of numbers with this largest magnitude. Numbers so small that their inverse would overflow count
// as 0.
fn int8_scale(largest: f32) -> f32 { return select(largest / 127.0, 0.0, largest < 1e-35); }

// The factor that turns numbers into codes.
fn int8_multiplier(largest: f32) -> f32 { return select(127.0 / largest, 0.0, largest < 1e-35); }

// The head of a block, from the sums of the bytes of `a` and of `b`.
fn int8_head(scale: f32, first: i32, last: i32) -> vec4<u32> {
  let packed = (bitcast<u32>(first) & 0xffffu) | (bitcast<u32>(last) << 16u);
  let sum = first + last;
  return vec4<u32>(bitcast<u32>(scale), packed, bitcast<u32>(sum), bitcast<u32>(f32(sum)));
}

fn int8_block(
  x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
  x4: vec4<f32>, x5: vec4<f32>, x6: vec4<f32>, x7: vec4<f32>) -> Int8Block {
  let size = max(max(largest_of(x0, x1), largest_of(x2, x3)), max(largest_of(x4, x5), largest_of(x6, x7)));
  let largest = max(max(size.x, size.y), max(size.z, size.w));
  let multiplier = int8_multiplier(largest);
  let c0 = int8_codes(x0, multiplier);
  let c1 = int8_codes(x1, multiplier);
  let c2 = int8_codes(x2, multiplier);
  let c3 = int8_codes(x3, multiplier);
  let c4 = int8_codes(x4, multiplier);
  let c5 = int8_codes(x5, multiplier);
  let c6 = int8_codes(x6, multiplier);
  let c7 = int8_codes(x7, multiplier);
  return Int8Block(
    vec4<u32>(pack4xI8(c0), pack4xI8(c1), pack4xI8(c2), pack4xI8(c3)),
    vec4<u32>(pack4xI8(c4), pack4xI8(c5), pack4xI8(c6), pack4xI8(c7)),
    int8_head(int8_scale(largest), sum_of(c0 + c1 + c2 + c3), sum_of(c4 + c5 + c6 + c7)));
}
