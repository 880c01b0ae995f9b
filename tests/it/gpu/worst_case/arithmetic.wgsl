// Float arithmetic as inexact as WGSL allows, on values of type FLOAT. The pass replaces every float
// operation of a shader by one of these.
//
// A result that a compiler may see through is also known as m·n + t: a product is a·b + 0, a sum is a·1 + b.
// A value of which a compiler knows nothing is 0·0 + v.

struct WorstSIZE {
  v: FLOAT,
  m: FLOAT,
  n: FLOAT,
  t: FLOAT,
}

// An operand: a subnormal is 0.
fn worst_operand_SIZE(v: FLOAT) -> FLOAT {
  let bits = bitcast<BITS>(v);
  return bitcast<FLOAT>(select(bits, bits & BITS(0x80000000u), (bits & BITS(0x7f800000u)) == BITS(0u)));
}

// A result: a subnormal is 0, the sign of 0 is wrong, and infinity and NaN are some number.
fn worst_result_SIZE(v: FLOAT) -> FLOAT {
  let bits = bitcast<BITS>(v);
  let exponent = bits & BITS(0x7f800000u);
  let finite = select(bits, ~bits & BITS(0x80000000u), exponent == BITS(0u));
  return bitcast<FLOAT>(select(finite, BITS(0x3fc00000u), exponent == BITS(0x7f800000u)));
}

// A result that is wrong by this many places.
fn worst_inexact_SIZE(v: FLOAT, places: u32) -> FLOAT {
  let bits = bitcast<BITS>(worst_result_SIZE(v));
  let moved = select(bits - BITS(places), bits + BITS(places), (bits & BITS(1u)) == BITS(1u));
  return bitcast<FLOAT>(select(moved, bits, (bits & BITS(0x7fffffffu)) == BITS(0u)));
}

// (m·n + t) + rest as m·n + (t + rest), the product fused.
fn worst_sum_SIZE(
  a_v: FLOAT, a_m: FLOAT, a_n: FLOAT, a_t: FLOAT,
  b_v: FLOAT, b_m: FLOAT, b_n: FLOAT, b_t: FLOAT,
) -> WorstSIZE {
  let a_is_opaque = a_n == FLOAT(0.0);
  let m = select(a_m, b_m, a_is_opaque);
  let n = select(a_n, b_n, a_is_opaque);
  let t = worst_operand_SIZE(select(a_t, b_t, a_is_opaque));
  let seen = worst_operand_SIZE(select(a_v, b_v, a_is_opaque));
  let rest = worst_operand_SIZE(select(b_v, a_v, a_is_opaque));
  let v = worst_result_SIZE(FLOAT(DOUBLE(m) * DOUBLE(n) + DOUBLE(worst_result_SIZE(t + rest))));
  let is_product = (n != FLOAT(0.0)) & (t == FLOAT(0.0));
  return WorstSIZE(v, select(seen, m, is_product), select(FLOAT(1.0), n, is_product), rest);
}

// (m·n)·rest as m·(n·rest).
fn worst_product_SIZE(
  a_v: FLOAT, a_m: FLOAT, a_n: FLOAT, a_t: FLOAT,
  b_v: FLOAT, b_m: FLOAT, b_n: FLOAT, b_t: FLOAT,
) -> WorstSIZE {
  let a = worst_operand_SIZE(a_v);
  let b = worst_operand_SIZE(b_v);
  let a_is_product = (a_n != FLOAT(0.0)) & (a_t == FLOAT(0.0));
  let b_is_product = (b_n != FLOAT(0.0)) & (b_t == FLOAT(0.0));
  let m = select(select(a, b_m, b_is_product), a_m, a_is_product);
  let n = select(b_n, a_n, a_is_product);
  let rest = select(a, b, a_is_product);
  let second = select(b, worst_result_SIZE(n * rest), a_is_product | b_is_product);
  return WorstSIZE(worst_result_SIZE(m * second), m, second, FLOAT(0.0));
}

fn worst_quotient_SIZE(a: FLOAT, b: FLOAT) -> FLOAT {
  return worst_inexact_SIZE(worst_operand_SIZE(a) / worst_operand_SIZE(b), 3u);
}

fn worst_root_SIZE(a: FLOAT) -> FLOAT { return worst_inexact_SIZE(sqrt(worst_operand_SIZE(a)), 5u); }

// |m·n| as |m|·|n|.
fn worst_magnitude_SIZE(v: FLOAT, m: FLOAT, n: FLOAT, t: FLOAT) -> WorstSIZE {
  let is_product = (n != FLOAT(0.0)) & (t == FLOAT(0.0));
  let zero = FLOAT(0.0);
  return WorstSIZE(
    abs(v),
    select(zero, abs(m), is_product),
    select(zero, abs(n), is_product),
    select(abs(v), zero, is_product),
  );
}
