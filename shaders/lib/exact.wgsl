// f32 arithmetic that gives the same bits on every device.
//
// WGSL lets a compiler fuse a*b+c, reassociate, divide within 2.5 ULP, and take roots less exactly still. It
// cannot see through an integer addition of a number that it does not know, so a result that passes through
// `opaque` is rounded to f32 by itself, as IEEE 754 says.

#import lib/f16_bits.wgsl

// The same value, of which a compiler knows nothing. (An exclusive or would not do: two in a row cancel.)
#ifndef NO_CONTRACTION
fn opaque(v: f32) -> f32 { return bitcast<f32>(bitcast<u32>(v) + params.zero); }
fn opaque4(v: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) + vec4<u32>(params.zero));
}
#else
// Every float operation of this module is decorated NoContraction, so nothing is fused or reassociated
// anyway.
fn opaque(v: f32) -> f32 { return v; }
fn opaque4(v: vec4<f32>) -> vec4<f32> { return v; }
#endif

fn mul(a: f32, b: f32) -> f32 { return opaque(a * b); }
fn add(a: f32, b: f32) -> f32 { return opaque(a + b); }
fn sub(a: f32, b: f32) -> f32 { return opaque(a - b); }
fn mul4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return opaque4(a * b); }
fn add4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return opaque4(a + b); }
fn sub4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return opaque4(a - b); }

// sum + v.x + v.y + v.z + v.w, in that order.
fn accumulate(sum: f32, v: vec4<f32>) -> f32 { return add(add(add(add(sum, v.x), v.y), v.z), v.w); }

// v.x + v.y + v.z + v.w, in that order.
fn total(v: vec4<f32>) -> f32 { return add(add(add(v.x, v.y), v.z), v.w); }

// a / b to nearest, ties to even, where b and the quotient are normal and a is normal or 0; 0 / b is +0.
//
// The quotient of floats is a guess. Its remainder is exact in wrapping integers, and two corrections give
// the nearest quotient. Any guess within 16 ULP will do. The quotient of two significands of 24 bits is never
// half way between two numbers of 24 bits, so there are no ties.
fn divide(a: f32, b: f32) -> f32 {
  let a_bits = bitcast<u32>(a);
  let b_bits = bitcast<u32>(b);
  let a_int = (a_bits & 0x7fffffu) | 0x800000u;
  let b_int = (b_bits & 0x7fffffu) | 0x800000u;
  // The significand of a, doubled where it is the smaller one, gives a quotient in [1, 2), here times 2^23.
  let doubled = select(0u, 1u, a_int < b_int);
  let a_float = bitcast<f32>(a_int + ((126u + doubled) << 23u));
  let inverse = 1.0 / bitcast<f32>(b_int + (126u << 23u));
  // The low bits of a float in [1, 2), as an integer, count units of 2^-23.
  let guess = bitcast<u32>(a_float * inverse) - (126u << 23u);
  let rest = i32((a_int << (23u + doubled)) - guess * b_int);
  let step = i32(round(f32(rest) * (inverse * 1.1920928955078125e-07)));
  let twice = 2 * (rest - step * i32(b_int));
  let up = select(0u, 1u, twice > i32(b_int));
  let down = select(0u, 1u, twice < -i32(b_int));
  let quotient = guess + bitcast<u32>(step) + up - down;
  // The implicit leading one of the quotient adds one to the exponent, and so does a carry out of the
  // significand.
  let exponent = (a_bits & 0x7f800000u) - (b_bits & 0x7f800000u) + ((126u - doubled) << 23u);
  let sign = (a_bits ^ b_bits) & 0x80000000u;
  return bitcast<f32>(select(sign | (exponent + quotient), 0u, (a_bits & 0x7fffffffu) == 0u));
}

// 1 / d to nearest, for a normal d; 0 for 0. It turns a scale into a multiplier.
fn inverse_or_zero(d: f32) -> f32 {
  return select(divide(1.0, d), 0.0, (bitcast<u32>(d) << 1u) == 0u);
}

// The square root to nearest, for a normal a or +0. The root of a number of 24 bits is never half way between
// two others.
fn square_root(a: f32) -> f32 {
  let bits = bitcast<u32>(a);
  // The significand times 1 or 2, so that the remaining exponent is even.
  let odd = ~(bits >> 23u) & 1u;
  let significand = (bits & 0x7fffffu) | 0x800000u;
  let guess = u32(sqrt(bitcast<f32>((bits & 0x7fffffu) | ((127u + odd) << 23u))) * 8388608.0);
  let rest = i32((significand << (23u + odd)) - guess * guess);
  let step = i32(round(f32(rest) / (2.0 * f32(guess))));
  let near = guess + bitcast<u32>(step);
  let left = rest - step * i32(guess + near);
  let up = select(0u, 1u, left > i32(near));
  let down = select(0u, 1u, left <= -i32(near));
  let exponent = (((bits >> 23u) + 127u - odd) >> 1u) << 23u;
  return bitcast<f32>(select(exponent + ((near + up - down) & 0x7fffffu), 0u, bits == 0u));
}

// The nearest integer, ties away from zero (C's roundf), for |v| < 2^22. The fraction is exact, and is not
// fused with the product that v may be.
fn round_half_away4(v: vec4<f32>) -> vec4<i32> {
  let size = opaque4(abs(v));
  let whole = floor(size);
  let nearest = vec4<i32>(whole) + select(vec4<i32>(0), vec4<i32>(1), size - whole >= vec4<f32>(0.5));
  return select(nearest, -nearest, v < vec4<f32>(0.0));
}

// The bits of the largest magnitude of four. Magnitudes have the order of their bits.
fn largest4(v: vec4<u32>) -> u32 {
  let m = v & vec4<u32>(0x7fffffffu);
  return max(max(m.x, m.y), max(m.z, m.w));
}

// Whether this arithmetic is exact for a block whose largest magnitude has these bits: for 0 and 2^-30..2^20.
fn in_range(largest: u32) -> bool {
  return largest == 0u || (largest >= 0x30800000u && largest <= 0x49800000u);
}
