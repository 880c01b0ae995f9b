// Conversions of f16 and bf16 in integer arithmetic: a device may flush their subnormals, and a compiler may
// drop a conversion there and back.

// The f32 bits of an f16, exactly.
fn f16_to_f32_bits(half: u32) -> u32 {
  let sign = (half & 0x8000u) << 16u;
  let rest = (half & 0x7fffu) << 13u;
  // A subnormal counts units of 2^-24. Its leading one moves to the place of the implicit one.
  let count = half & 0x3ffu;
  let shift = countLeadingZeros(count) - 21u;
  let subnormal = select(((113u - shift) << 23u) | (((count << shift) & 0x3ffu) << 13u), 0u, count == 0u);
  let infinite_or_nan = rest | 0x7f800000u;
  let normal = rest + 0x38000000u;
  return sign | select(select(normal, subnormal, rest < 0x00800000u), infinite_or_nan, rest >= 0x0f800000u);
}

// The bits of the f16 nearest to an f32, ties to even. Too large a number becomes infinity; NaN becomes
// 0x7e00 with its sign.
fn f32_bits_to_f16(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  // A carry out of the significand goes to the exponent, and from the largest exponent to infinity.
  let normal = (magnitude + 0xfffu + ((magnitude >> 13u) & 1u) - 0x38000000u) >> 13u;
  // Below 2^-14 the result counts units of 2^-24. Below 2^-25 everything is shifted out.
  let shift = min(126u - (magnitude >> 23u), 31u);
  let significand = (magnitude & 0x7fffffu) | 0x800000u;
  let whole = significand >> shift;
  let rest = significand & ((1u << shift) - 1u);
  let half = 1u << (shift - 1u);
  let up = rest > half || (rest == half && (whole & 1u) == 1u);
  let subnormal = select(whole, whole + 1u, up);
  let finite = select(normal, subnormal, magnitude < 0x38800000u);
  let large = select(0x7c00u, 0x7e00u, magnitude > 0x7f800000u);
  return sign | select(finite, large, magnitude >= 0x47800000u);
}

// The bits of the bf16 nearest to an f32, ties to even. NaN becomes a quiet NaN.
fn f32_bits_to_bf16(bits: u32) -> u32 {
  let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
  return select(rounded, (bits >> 16u) | 64u, (bits & 0x7fffffffu) > 0x7f800000u);
}
