// The four-bit floats e2m1 (sign, two exponent bits, one of mantissa), doubled so that they are integers.

// The doubled numbers of four codes.
fn e2m1_doubled(codes: vec4<u32>) -> vec4<i32> {
  // 0, 1, 2, 3, 4, 6, 8, 12: a nibble each.
  let size = bitcast<vec4<i32>>((vec4<u32>(0xc8643210u) >> ((codes & vec4<u32>(7u)) << vec4<u32>(2u))) & vec4<u32>(15u));
  return select(size, -size, codes >= vec4<u32>(8u));
}

fn above(v: vec4<f32>, limit: f32) -> vec4<u32> { return select(vec4<u32>(0u), vec4<u32>(1u), v > vec4<f32>(limit)); }

// The codes whose doubled numbers times d are nearest to four weights, the lowest of equals: 0 for d = 0.
//
// ggml compares rounded distances. For d of at most four bits that is 0 or no less than |w|/2^20, comparing with the middle between two levels says
// the same: the middles are exact, so are the distances to two levels between which w lies, and other levels are farther by more than rounding hides.
fn nearest_e2m1(w: vec4<f32>, d: f32) -> vec4<u32> {
  let size = abs(w);
  let code = above(size, 0.5 * d) + above(size, 1.5 * d) + above(size, 2.5 * d) + above(size, 3.5 * d)
    + above(size, 5.0 * d) + above(size, 7.0 * d) + above(size, 10.0 * d);
  let sign = (bitcast<vec4<u32>>(w) >> vec4<u32>(28u)) & vec4<u32>(8u);
  return select(code | sign, vec4<u32>(0u), (code == vec4<u32>(0u)) | vec4<bool>(d == 0.0));
}
