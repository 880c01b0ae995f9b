// The search for x ≈ scale·code - min, with code in 0..=MAX_CODE and min ≥ 0: ggml's make_qkx2_quants.
//
// The range of the weights gives the first multiplier from weights to codes. Then, for each of a series of
// slightly different multipliers, the search rounds the weights to codes, solves the weighted least squares
// problem for the scale and min that fit these codes best, and keeps the best fit. The weights stay in
// registers throughout.
//
// The format defines MAX_CODE, FIRST (added to MAX_CODE in the first step of the series), STEPS (the number
// of steps after the first), and
//   fn spread_of(x: SubBlock) -> f32                           what `importance` needs of the sub-block
//   fn importance(x: vec4<f32>, spread: f32) -> vec4<f32>      the weight of each error
//   fn penalty(difference: vec4<f32>) -> vec4<f32>             the error of a difference

const STEP = 0.1;

// A value for each weight of a sub-block.
struct SubBlock {
#repeat i SUB_BLOCK_QUADS
  q$i: vec4<f32>,
#end
}

// A fit: the multiplier and offset that gave the codes, the scale and min that fit these codes best, and the
// error. As in ggml, min is added, so it is 0 or less.
struct Fit { inverse: f32, origin: f32, scale: f32, min: f32, error: f32 }

// Σ w and Σ w·x.
struct Moments { w: f32, x: f32 }

// Σ w·l, Σ w·l² and Σ w·l·x, where l are the codes.
struct Sums { l: f32, l2: f32, xl: f32 }

fn load(sub_block: u32) -> SubBlock {
  let first = sub_block * SUB_BLOCK_QUADS;
  var x: SubBlock;
#repeat i SUB_BLOCK_QUADS
  x.q$i = weights(first + $iu);
#end
  return x;
}

fn least(x: SubBlock) -> f32 {
  var v = x.q0;
#repeat i 1 SUB_BLOCK_QUADS
  v = min(v, x.q$i);
#end
  return min(min(v.x, v.y), min(v.z, v.w));
}

fn most(x: SubBlock) -> f32 {
  var v = x.q0;
#repeat i 1 SUB_BLOCK_QUADS
  v = max(v, x.q$i);
#end
  return max(max(v.x, v.y), max(v.z, v.w));
}

// The bits of the magnitudes, less one: 0 wraps around to the largest.
fn magnitudes_less_one(x: vec4<f32>) -> vec4<u32> {
  return (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) - vec4<u32>(1u);
}

// The bits of the smallest magnitude that is not 0, less one.
fn smallest_less_one(x: SubBlock) -> u32 {
  var v = magnitudes_less_one(x.q0);
#repeat i 1 SUB_BLOCK_QUADS
  v = min(v, magnitudes_less_one(x.q$i));
#end
  return min(min(v.x, v.y), min(v.z, v.w));
}

// Whether each weight is 0 or at least 2^-40 in magnitude, and the largest magnitude 0 or in 2^-24..2^16: all
// that f16 holds, and more. Then no square, product or difference that matters is near a subnormal, which a
// device may flush, or near infinity.
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
#repeat i SUB_BLOCK_QUADS
  m = add_moments(m, x.q$i, spread);
#end
  return m;
}

// The nearest codes, ties to even.
fn quad_codes(x: vec4<f32>, inverse: f32, origin: f32) -> vec4<f32> {
  return round(clamp(sub4(x, vec4<f32>(origin)) * inverse, vec4<f32>(0.0), vec4<f32>(MAX_CODE)));
}

fn codes(x: SubBlock, inverse: f32, origin: f32) -> SubBlock {
  var l: SubBlock;
#repeat i SUB_BLOCK_QUADS
  l.q$i = quad_codes(x.q$i, inverse, origin);
#end
  return l;
}

fn add_sums(s: Sums, x: vec4<f32>, l: vec4<f32>, spread: f32) -> Sums {
  let wl = mul4(importance(x, spread), l);
  return Sums(accumulate(s.l, wl), accumulate(s.l2, mul4(wl, l)), accumulate(s.xl, mul4(wl, x)));
}

fn sums(x: SubBlock, l: SubBlock, spread: f32) -> Sums {
  var s = Sums(0.0, 0.0, 0.0);
#repeat i SUB_BLOCK_QUADS
  s = add_sums(s, x.q$i, l.q$i, spread);
#end
  return s;
}

fn add_error(sum: f32, x: vec4<f32>, l: vec4<f32>, scale: f32, offset: f32, spread: f32) -> f32 {
  let difference = sub4(add4(mul4(vec4<f32>(scale), l), vec4<f32>(offset)), x);
  return accumulate(sum, mul4(importance(x, spread), penalty(difference)));
}

// Σ w·penalty(scale·l + offset - x).
fn error(x: SubBlock, l: SubBlock, scale: f32, offset: f32, spread: f32) -> f32 {
  var sum = 0.0;
#repeat i SUB_BLOCK_QUADS
  sum = add_error(sum, x.q$i, l.q$i, scale, offset, spread);
#end
  return sum;
}

// The fit for the multiplier that the range of the weights gives.
fn first_fit(x: SubBlock, spread: f32, low: f32, high: f32) -> Fit {
  let inverse = divide(MAX_CODE, sub(high, low));
  let scale = divide(1.0, inverse);
  return Fit(inverse, low, scale, low, error(x, codes(x, inverse, low), scale, low, spread));
}

// The least squares fit for the codes that `inverse` and `origin` give.
fn least_squares(x: SubBlock, spread: f32, m: Moments, inverse: f32, origin: f32) -> Fit {
  let l = codes(x, inverse, origin);
  let s = sums(x, l, spread);
  let determinant = sub(mul(m.w, s.l2), mul(s.l, s.l));
  let free_scale = sub(mul(m.w, s.xl), mul(m.x, s.l));
  let free_min = sub(mul(s.l2, m.x), mul(s.l, s.xl));
  // A min above 0 cannot be stored: take the best scale for a min of 0.
  let above = free_min > 0.0;
  let scale = divide(select(free_scale, s.xl, above), select(determinant, s.l2, above));
  let offset = select(divide(free_min, determinant), 0.0, above);
  // Without a positive determinant there is no solution: such a fit must not win.
  let fit_error = select(3.0e38, error(x, l, scale, offset, spread), determinant > 0.0);
  return Fit(inverse, origin, scale, offset, fit_error);
}

// Stores the scale, the min (0 or more, as in the block), and the `inverse` and `origin` of the codes. A
// negative scale, which ggml would let wrap around, declines the block; -1 stands for any other reason to
// decline.
fn search(sub_block: u32) {
  let x = load(sub_block);
  let low = min(least(x), 0.0);
  let high = most(x);
  let flat = low == high;
  let largest = max(-low, abs(high));
  let spread = spread_of(x);
  let m = moments(x, spread);
  var best = first_fit(x, spread, low, high);
  // In a smaller range a weight could lie 2^22 codes away, where ggml's rounding gives another result.
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
