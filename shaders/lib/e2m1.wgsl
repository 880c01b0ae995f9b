// Four-bit floats e2m1 (a sign, two bits of exponent, one of mantissa), doubled, so that they are integers.

// The doubled numbers of four codes.
fn e2m1_doubled(codes: vec4<u32>) -> vec4<i32> {
  // 0, 1, 2, 3, 4, 6, 8, 12: a nibble each.
  let nibbles = vec4<u32>(0xc8643210u) >> ((codes & vec4<u32>(7u)) << vec4<u32>(2u));
  let size = bitcast<vec4<i32>>(nibbles & vec4<u32>(15u));
  return select(size, -size, codes >= vec4<u32>(8u));
}

// 1 where v > limit.
fn above(v: vec4<f32>, limit: f32) -> vec4<u32> {
  return select(vec4<u32>(0u), vec4<u32>(1u), v > vec4<f32>(limit));
}

// The codes whose doubled numbers times d are nearest to four weights, the lowest of equals; 0 for d = 0.
//
// ggml compares rounded distances. Comparing with the middle between two levels gives the same for a d of at
// most four significant bits that is 0 or at least |w|/2^20: the middles are exact, and so are the distances
// to the two levels between which w lies; other levels are farther by more than rounding hides.
fn nearest_e2m1(w: vec4<f32>, d: f32) -> vec4<u32> {
  let size = abs(w);
  let code = above(size, 0.5 * d) + above(size, 1.5 * d) + above(size, 2.5 * d) + above(size, 3.5 * d)
    + above(size, 5.0 * d) + above(size, 7.0 * d) + above(size, 10.0 * d);
  let sign = (bitcast<vec4<u32>>(w) >> vec4<u32>(28u)) & vec4<u32>(8u);
  return select(code | sign, vec4<u32>(0u), (code == vec4<u32>(0u)) | vec4<bool>(d == 0.0));
}

#ifdef CODES
#import lib/numbers.wgsl

#ifdef PAIR_TABLE
fn number(code: vec4<u32>) -> vec4<i32> { return e2m1_doubled(code); }
#else
// Computes on nibbles in their places, as long as four bits are enough.
fn numbers_of(pairs: vec4<u32>) -> Numbers {
  let sizes = pairs & vec4<u32>(0x77777777u);
  let large = pairs & vec4<u32>(0x44444444u);
  // 0, 1, 2, 3, 4, 6, 8, 12: from 4 on the two low bits count twice, and both together add another 2.
  let again = pairs & (large - (large >> vec4<u32>(2u)));
  let doubled = sizes + again + (again & (again << vec4<u32>(1u)));
  // The two's complement where the sign is set, except for 0, whose carry would leave the nibble.
  let one = (pairs & (sizes + vec4<u32>(0x77777777u)) & vec4<u32>(0x88888888u)) >> vec4<u32>(3u);
  let minus = (one << vec4<u32>(4u)) - one;
  let number = (doubled ^ minus) + one;
  let low_half = vec4<u32>(0x0f0f0f0fu);
  return Numbers(
    (number & low_half) | ((minus << vec4<u32>(4u)) & ~low_half),
    ((number >> vec4<u32>(4u)) & low_half) | (minus & ~low_half));
}
#endif
#endif
