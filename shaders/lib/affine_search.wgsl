// The search for x ≈ scale·code - min, code in 0..=MAX_CODE and min ≥ 0: ggml's make_qkx2_quants.
//
// The range of the weights gives a first multiplier from weights to codes. Then, with a series of slightly different ones: round to codes, solve the
// weighted least squares problem for the scale and min that fit these codes best, and keep the best fit. The weights stay in registers all the while.
//
// The format defines MAX_CODE, FIRST (added to MAX_CODE in the first of the series), STEPS (after the first), and
//   fn spread_of(x: SubBlock) -> f32                           what `importance` needs of the sub-block
//   fn importance(x: vec4<f32>, spread: f32) -> vec4<f32>      the weight of each error
//   fn penalty(difference: vec4<f32>) -> vec4<f32>             the error that a difference is

const STEP = 0.1;

const SUB_BLOCK_QUADS = BLOCK_QUADS / SUB_BLOCKS;
// 32 weights and not 16.
const IS_LONG = SUB_BLOCK_QUADS == 8u;

// A value for each weight of a sub-block; one of 16 leaves the last four quads alone.
struct SubBlock {
  q0: vec4<f32>, q1: vec4<f32>, q2: vec4<f32>, q3: vec4<f32>,
  q4: vec4<f32>, q5: vec4<f32>, q6: vec4<f32>, q7: vec4<f32>,
}

// What the codes are rounded with, what then fits best, and how well. As in ggml, min is what is added: 0 or less.
struct Fit { inverse: f32, origin: f32, scale: f32, min: f32, error: f32 }

// Σ w and Σ w·x.
struct Moments { w: f32, x: f32 }

// Σ w·l, Σ w·l² and Σ w·l·x, with l the codes.
struct Sums { l: f32, l2: f32, xl: f32 }

fn load(sub_block: u32) -> SubBlock {
  let i = sub_block * SUB_BLOCK_QUADS;
  var x: SubBlock;
  x.q0 = weights(i);
  x.q1 = weights(i + 1u);
  x.q2 = weights(i + 2u);
  x.q3 = weights(i + 3u);
  if (IS_LONG) {
    x.q4 = weights(i + 4u);
    x.q5 = weights(i + 5u);
    x.q6 = weights(i + 6u);
    x.q7 = weights(i + 7u);
  }
  return x;
}

fn least(x: SubBlock) -> f32 {
  var v = min(min(x.q0, x.q1), min(x.q2, x.q3));
  if (IS_LONG) {
    v = min(v, min(min(x.q4, x.q5), min(x.q6, x.q7)));
  }
  return min(min(v.x, v.y), min(v.z, v.w));
}

fn most(x: SubBlock) -> f32 {
  var v = max(max(x.q0, x.q1), max(x.q2, x.q3));
  if (IS_LONG) {
    v = max(v, max(max(x.q4, x.q5), max(x.q6, x.q7)));
  }
  return max(max(v.x, v.y), max(v.z, v.w));
}

// The bits of the magnitudes, less one: so 0 becomes the largest.
fn magnitudes_less_one(x: vec4<f32>) -> vec4<u32> { return (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) - vec4<u32>(1u); }

// The bits of the smallest magnitude that is not 0, less one.
fn smallest_less_one(x: SubBlock) -> u32 {
  var v = min(
    min(magnitudes_less_one(x.q0), magnitudes_less_one(x.q1)),
    min(magnitudes_less_one(x.q2), magnitudes_less_one(x.q3)));
  if (IS_LONG) {
    v = min(v, min(
      min(magnitudes_less_one(x.q4), magnitudes_less_one(x.q5)),
      min(magnitudes_less_one(x.q6), magnitudes_less_one(x.q7))));
  }
  return min(min(v.x, v.y), min(v.z, v.w));
}

// Whether each weight is 0 or at least 2^-40, and the largest 0 or in 2^-24..2^16: all that f16 holds, and more. Then no square, product or difference that
// counts is near a subnormal, which a device may flush, and none near infinity.
fn answers_for(x: SubBlock, largest: f32) -> bool {
  let in_range = largest == 0.0 || (largest >= 5.9604644775390625e-08 && largest <= 65536.0);
  return in_range && smallest_less_one(x) >= 0x2b7fffffu;
}

fn add_moments(m: Moments, x: vec4<f32>, spread: f32) -> Moments {
  let w = importance(x, spread);
  return Moments(accumulate(m.w, w), accumulate(m.x, mul4(w, x)));
}

fn moments(x: SubBlock, spread: f32) -> Moments {
  var m = Moments(0.0, 0.0);
  m = add_moments(m, x.q0, spread);
  m = add_moments(m, x.q1, spread);
  m = add_moments(m, x.q2, spread);
  m = add_moments(m, x.q3, spread);
  if (IS_LONG) {
    m = add_moments(m, x.q4, spread);
    m = add_moments(m, x.q5, spread);
    m = add_moments(m, x.q6, spread);
    m = add_moments(m, x.q7, spread);
  }
  return m;
}

// The nearest codes, ties to even.
fn quad_codes(x: vec4<f32>, inverse: f32, origin: f32) -> vec4<f32> {
  return round(clamp(sub4(x, vec4<f32>(origin)) * inverse, vec4<f32>(0.0), vec4<f32>(MAX_CODE)));
}

fn codes(x: SubBlock, inverse: f32, origin: f32) -> SubBlock {
  var l: SubBlock;
  l.q0 = quad_codes(x.q0, inverse, origin);
  l.q1 = quad_codes(x.q1, inverse, origin);
  l.q2 = quad_codes(x.q2, inverse, origin);
  l.q3 = quad_codes(x.q3, inverse, origin);
  if (IS_LONG) {
    l.q4 = quad_codes(x.q4, inverse, origin);
    l.q5 = quad_codes(x.q5, inverse, origin);
    l.q6 = quad_codes(x.q6, inverse, origin);
    l.q7 = quad_codes(x.q7, inverse, origin);
  }
  return l;
}

fn add_sums(s: Sums, x: vec4<f32>, l: vec4<f32>, spread: f32) -> Sums {
  let wl = mul4(importance(x, spread), l);
  return Sums(accumulate(s.l, wl), accumulate(s.l2, mul4(wl, l)), accumulate(s.xl, mul4(wl, x)));
}

fn sums(x: SubBlock, l: SubBlock, spread: f32) -> Sums {
  var s = Sums(0.0, 0.0, 0.0);
  s = add_sums(s, x.q0, l.q0, spread);
  s = add_sums(s, x.q1, l.q1, spread);
  s = add_sums(s, x.q2, l.q2, spread);
  s = add_sums(s, x.q3, l.q3, spread);
  if (IS_LONG) {
    s = add_sums(s, x.q4, l.q4, spread);
    s = add_sums(s, x.q5, l.q5, spread);
    s = add_sums(s, x.q6, l.q6, spread);
    s = add_sums(s, x.q7, l.q7, spread);
  }
  return s;
}

fn add_error(sum: f32, x: vec4<f32>, l: vec4<f32>, scale: f32, offset: f32, spread: f32) -> f32 {
  let difference = sub4(add4(mul4(vec4<f32>(scale), l), vec4<f32>(offset)), x);
  return accumulate(sum, mul4(importance(x, spread), penalty(difference)));
}

// Σ w·penalty(scale·l + offset - x).
fn error(x: SubBlock, l: SubBlock, scale: f32, offset: f32, spread: f32) -> f32 {
  var sum = 0.0;
  sum = add_error(sum, x.q0, l.q0, scale, offset, spread);
  sum = add_error(sum, x.q1, l.q1, scale, offset, spread);
  sum = add_error(sum, x.q2, l.q2, scale, offset, spread);
  sum = add_error(sum, x.q3, l.q3, scale, offset, spread);
  if (IS_LONG) {
    sum = add_error(sum, x.q4, l.q4, scale, offset, spread);
    sum = add_error(sum, x.q5, l.q5, scale, offset, spread);
    sum = add_error(sum, x.q6, l.q6, scale, offset, spread);
    sum = add_error(sum, x.q7, l.q7, scale, offset, spread);
  }
  return sum;
}

// The fit that the range of the weights gives.
fn first_fit(x: SubBlock, spread: f32, low: f32, high: f32) -> Fit {
  let inverse = divide(MAX_CODE, sub(high, low));
  let scale = divide(1.0, inverse);
  return Fit(inverse, low, scale, low, error(x, codes(x, inverse, low), scale, low, spread));
}

// The fit that is best for the codes that `inverse` and `origin` give.
fn least_squares(x: SubBlock, spread: f32, m: Moments, inverse: f32, origin: f32) -> Fit {
  let l = codes(x, inverse, origin);
  let s = sums(x, l, spread);
  let determinant = sub(mul(m.w, s.l2), mul(s.l, s.l));
  let free_scale = sub(mul(m.w, s.xl), mul(m.x, s.l));
  let free_min = sub(mul(s.l2, m.x), mul(s.l, s.xl));
  // A min above 0 cannot be stored: then the best scale for a min of 0.
  let above = free_min > 0.0;
  let scale = divide(select(free_scale, s.xl, above), select(determinant, s.l2, above));
  let offset = select(divide(free_min, determinant), 0.0, above);
  // Without a positive determinant there is no solution, and it must not win.
  return Fit(inverse, origin, scale, offset, select(3.0e38, error(x, l, scale, offset, spread), determinant > 0.0));
}

// Leaves the scale and the min, which is 0 or more as it is stored, and what the codes were rounded with: inverse and origin. A negative scale, which ggml
// would let wrap around, declines the sub-block; so -1 does too.
fn search(sub_block: u32) {
  let x = load(sub_block);
  let low = min(least(x), 0.0);
  let high = most(x);
  let flat = low == high;
  let largest = max(-low, abs(high));
  let spread = spread_of(x);
  let m = moments(x, spread);
  var best = first_fit(x, spread, low, high);
  // From a smaller range a weight could lie 2^22 codes away, where ggml's rounding gives something else.
  let least_range = largest * 0.000244140625;
  var wide = true;
  for (var i = 0u; i <= STEPS; i++) {
    let range = sub(high, best.min);
    wide = wide && range >= least_range;
    let steps = add(add(FIRST, mul(STEP, f32(i))), MAX_CODE);
    let fit = least_squares(x, spread, m, divide(steps, range), best.min);
    if (fit.error < best.error) {
      best = fit;
    }
  }
  let found = vec4<u32>(
    bitcast<u32>(best.scale), bitcast<u32>(-best.min), bitcast<u32>(best.inverse), bitcast<u32>(best.origin));
  let declined = vec4<u32>(bitcast<u32>(-1.0), 0u, 0u, 0u);
  let constant = vec4<u32>(0u, bitcast<u32>(-low), 0u, 0u);
  let answer = select(select(declined, found, wide), constant, flat);
  scratch[sub_block] = select(declined, answer, answers_for(x, largest));
}
