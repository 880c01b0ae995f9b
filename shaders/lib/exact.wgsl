// f32 arithmetic that gives the same bits on every device.
//
// WGSL lets a compiler fuse a*b+c, reassociate, divide within 2.5 ULP and take a root within more. What it cannot do is see through an integer
// addition of a number it does not know, so a result that passes through `opaque` is rounded to f32 by itself, as IEEE 754 says.

#import lib/f16_bits.wgsl

// The value, of which a compiler knows nothing. (An exclusive or would not do: two in a row cancel.)
#ifndef NO_CONTRACTION
fn opaque(v: f32) -> f32 { return bitcast<f32>(bitcast<u32>(v) + params.zero); }
fn opaque4(v: vec4<f32>) -> vec4<f32> { return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) + vec4<u32>(params.zero)); }
#else
// Every float operation of this module is decorated NoContraction: nothing may be fused or reassociated anyway.
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

// a / b to nearest, ties to even, for a normal or 0, b normal and a normal quotient; 0 / b is +0.
//
// A quotient of floats is a guess; the remainder it leaves is exact in wrapping integers, and two corrections bring it to the nearest. Any guess
// within 16 ULP will do. Two significands of 24 bits never have a quotient half way between two of 24 bits, so there are no ties.
fn divide(a: f32, b: f32) -> f32 {
  let a_bits = bitcast<u32>(a);
  let b_bits = bitcast<u32>(b);
  let a_int = (a_bits & 0x7fffffu) | 0x800000u;
  let b_int = (b_bits & 0x7fffffu) | 0x800000u;
  // Doubled where it is the smaller one, a's significand gives a quotient in [1, 2), in integers 2^23 times that.
  let doubled = select(0u, 1u, a_int < b_int);
  let a_float = bitcast<f32>(a_int + ((126u + doubled) << 23u));
  let inverse = 1.0 / bitcast<f32>(b_int + (126u << 23u));
  // The bits of a float in [1, 2), taken as an integer, count 2^-23.
  let guess = bitcast<u32>(a_float * inverse) - (126u << 23u);
  let rest = i32((a_int << (23u + doubled)) - guess * b_int);
  let step = i32(round(f32(rest) * (inverse * 1.1920928955078125e-07)));
  let twice = 2 * (rest - step * i32(b_int));
  let up = select(0u, 1u, twice > i32(b_int));
  let down = select(0u, 1u, twice < -i32(b_int));
  let quotient = guess + bitcast<u32>(step) + up - down;
  // The implicit one of the quotient adds one to the exponent, and so does a carry out of the significand.
  let exponent = (a_bits & 0x7f800000u) - (b_bits & 0x7f800000u) + ((126u - doubled) << 23u);
  let sign = (a_bits ^ b_bits) & 0x80000000u;
  return bitcast<f32>(select(sign | (exponent + quotient), 0u, (a_bits & 0x7fffffffu) == 0u));
}

// 1 / d to nearest, for a normal d; 0 for 0: how a scale becomes a multiplier.
fn inverse_or_zero(d: f32) -> f32 { return select(divide(1.0, d), 0.0, (bitcast<u32>(d) << 1u) == 0u); }

// The square root to nearest, for a normal a or +0. No root of 24 bits lies half way between two others.
fn square_root(a: f32) -> f32 {
  let bits = bitcast<u32>(a);
  // The significand times 1 or 2, so that the exponent that remains is even.
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

// The nearest integer, ties away from zero (C's roundf), for |v| < 2^22. The fraction is exact, and not fused with a product that v may be.
fn round_half_away4(v: vec4<f32>) -> vec4<i32> {
  let size = opaque4(abs(v));
  let whole = floor(size);
  let nearest = vec4<i32>(whole) + select(vec4<i32>(0), vec4<i32>(1), size - whole >= vec4<f32>(0.5));
  return select(nearest, -nearest, v < vec4<f32>(0.0));
}

// The largest magnitude of four, as bits: the order of magnitudes is that of their bits.
fn largest4(v: vec4<u32>) -> u32 {
  let m = v & vec4<u32>(0x7fffffffu);
  return max(max(m.x, m.y), max(m.z, m.w));
}

// Whether a block whose largest magnitude has these bits is one this arithmetic answers for: 2^-30..2^20, or 0.
fn in_range(largest: u32) -> bool {
  return largest == 0u || (largest >= 0x30800000u && largest <= 0x49800000u);
}
