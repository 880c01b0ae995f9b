// The common part of searches for a scale: x ≈ scale·code, where a multiplier gives the codes, and the scale
// is the least squares solution for them.

// The one with the larger magnitude; the first of equals.
fn larger(a: f32, b: f32) -> f32 { return select(a, b, abs(b) > abs(a)); }

// The element of largest magnitude, with its sign; the first of equals.
fn extreme(v: vec4<f32>) -> f32 { return larger(larger(v.x, v.y), larger(v.z, v.w)); }

// Whether weights of at most this magnitude count as zeros: those below 1e-15, ggml's GROUP_MAX_EPS.
fn is_zero(max: f32) -> bool { return (bitcast<u32>(max) & 0x7fffffffu) < 0x26901d7du; }

// Whether the bits of the magnitude are within low..=high.
fn is_within(max: f32, low: u32, high: u32) -> bool {
  let size = bitcast<u32>(max) & 0x7fffffffu;
  return size >= low && size <= high;
}

// The best multiplier so far, its scale, and how much of Σ w·x² that scale explains.
struct Fit {
  scale: f32,
  multiplier: f32,
  explained: f32,
}

// The better of `fit` and the fit of another multiplier, whose codes give Σ w·code·x and Σ w·code². Both sums
// are normal, which the format ensures by `is_within`.
fn better(fit: Fit, multiplier: f32, sum_lx: f32, sum_l2: f32) -> Fit {
  let scale = divide(sum_lx, sum_l2);
  let is_better = sum_lx * sum_lx > fit.explained * sum_l2;
  return Fit(
    select(fit.scale, scale, is_better),
    select(fit.multiplier, multiplier, is_better),
    select(fit.explained, mul(scale, sum_lx), is_better));
}
