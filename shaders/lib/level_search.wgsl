// The search for a scale of the IQ4 formats: x ≈ scale·level for 32 weights, each weighted by x².

#import lib/levels.wgsl
#import lib/scale_search.wgsl

// Σ x²·level·x and Σ x²·level² for each of four multipliers, or the terms of each of four weights.
struct Sums {
  qx: vec4<f32>,
  q2: vec4<f32>,
}

fn terms(x: vec4<f32>, level: vec4<f32>) -> Sums {
  let wq = mul4(mul4(x, x), level);
  return Sums(mul4(wq, x), mul4(wq, level));
}

// Four multipliers, (step - 127) / max, and their sums.
struct Tries {
  multipliers: vec4<f32>,
  sums: Sums,
}

fn tries(steps: vec4<f32>, max: f32) -> Tries {
  let numerators = steps - vec4<f32>(127.0);
  let multipliers = vec4<f32>(
    divide(numerators.x, max),
    divide(numerators.y, max),
    divide(numerators.z, max),
    divide(numerators.w, max));
  return Tries(multipliers, Sums(vec4<f32>(0.0), vec4<f32>(0.0)));
}

// A weight x between two levels: the point half way between them, and the terms x²·level·x and x²·level² for
// the lower level and for the upper one.
struct Choice {
  x: f32,
  halfway: f32,
  lower: vec2<f32>,
  upper: vec2<f32>,
}

fn add_weight(t: Tries, c: Choice) -> Tries {
  let up = c.x * t.multipliers >= vec4<f32>(c.halfway);
  return Tries(t.multipliers, Sums(
    add4(t.sums.qx, select(vec4<f32>(c.lower.x), vec4<f32>(c.upper.x), up)),
    add4(t.sums.q2, select(vec4<f32>(c.lower.y), vec4<f32>(c.upper.y), up))));
}

// 16 multipliers.
struct AllTries {
  a: Tries,
  b: Tries,
  c: Tries,
  d: Tries,
}

fn add_to_all(all: AllTries, c: Choice) -> AllTries {
  return AllTries(add_weight(all.a, c), add_weight(all.b, c), add_weight(all.c, c), add_weight(all.d, c));
}

// Adds the terms of four weights. The multipliers are within 12 % of each other, and points half way between
// levels of one sign are at least 23 % apart. So each multiplier gives a weight either the level that the
// smallest multiplier gives, or the next one away from 0.
fn add_quad(all: AllTries, x: vec4<f32>) -> AllTries {
  let t = x * all.d.multipliers.w;
  let near = nearest_level(t);
  let below = select(min(near, vec4<u32>(14u)), max(near, vec4<u32>(1u)) - vec4<u32>(1u), t < vec4<f32>(0.0));
  let low_level = vec4<f32>(level(below));
  let high_level = vec4<f32>(level(below + vec4<u32>(1u)));
  let halfway = (low_level + high_level) * 0.5;
  let low = terms(x, low_level);
  let high = terms(x, high_level);
  var sums = all;
#repeat i 4
  sums = add_to_all(
    sums, Choice(x[$i], halfway[$i], vec2<f32>(low.qx[$i], low.q2[$i]), vec2<f32>(high.qx[$i], high.q2[$i])));
#end
  return sums;
}

fn best_of(fit: Fit, t: Tries) -> Fit {
  var best = fit;
#repeat i 4
  best = better(best, t.multipliers[$i], t.sums.qx[$i], t.sums.q2[$i]);
#end
  return best;
}

struct LevelScale {
  scale: f32,
  declined: bool,
}

// ggml's quantize_row_iq4_nl_impl for the 32 weights from quad x on: tries the multiplier 127 / max, then 15
// around -127 / max, and keeps the one whose least squares scale explains most.
fn level_scale(x: u32) -> LevelScale {
  var max = 0.0;
  var smallest = 0xffffffffu;
  for (var i = 0u; i < 8u; i++) {
    let bits = weight_bits(x + i);
    max = larger(max, extreme(bitcast<vec4<f32>>(bits)));
    // 0 does not count: it wraps around to the largest.
    let sizes = (bits & vec4<u32>(0x7fffffffu)) - vec4<u32>(1u);
    smallest = min(smallest, min(min(sizes.x, sizes.y), min(sizes.z, sizes.w)));
  }
  let zero = is_zero(max);
  let divisor = select(max, 1.0, zero);
  let first = divide(1.0, divide(divisor, 127.0));
  var first_qx = 0.0;
  var first_q2 = 0.0;
  // 15 multipliers and the last one again, which changes nothing.
  var all = AllTries(
    tries(vec4<f32>(-7.0, -6.0, -5.0, -4.0), divisor),
    tries(vec4<f32>(-3.0, -2.0, -1.0, 0.0), divisor),
    tries(vec4<f32>(1.0, 2.0, 3.0, 4.0), divisor),
    tries(vec4<f32>(5.0, 6.0, 7.0, 7.0), divisor));
  for (var i = 0u; i < 8u; i++) {
    let v = weights(x + i);
    let added = terms(v, vec4<f32>(level(nearest_level(v * first))));
    first_qx = accumulate(first_qx, added.qx);
    first_q2 = accumulate(first_q2, added.q2);
    all = add_quad(all, v);
  }
  var fit = better(Fit(0.0, 0.0, 0.0), first, first_qx, first_q2);
  fit = best_of(fit, all.a);
  fit = best_of(fit, all.b);
  fit = best_of(fit, all.c);
  fit = best_of(fit, all.d);
  // The squares of the sums are normal for a largest magnitude of 2^-23..2^17, and cubes of weights for a
  // smallest of 2^-42.
  let answered = is_within(max, 0x34000000u, 0x48000000u) && smallest + 1u >= 0x2a800000u;
  return LevelScale(select(fit.scale, 0.0, zero), !zero && !answered);
}
