// Sub-blocks of 16 weights, x ≈ scale·code, each weighted by x².

#import lib/scale_search.wgsl

// Four weights: x, x², x³.
struct Quad {
  x: vec4<f32>,
  w: vec4<f32>,
  wx: vec4<f32>,
}

struct SubBlock {
  a: Quad,
  b: Quad,
  c: Quad,
  d: Quad,
}

fn quad(i: u32) -> Quad {
  let x = weights(i);
  let w = mul4(x, x);
  return Quad(x, w, mul4(w, x));
}

fn sub_block_at(sub_block: u32) -> SubBlock {
  let i = sub_block * 4u;
  return SubBlock(quad(i), quad(i + 1u), quad(i + 2u), quad(i + 3u));
}

// The first weight of largest magnitude.
fn extreme_weight(s: SubBlock) -> f32 {
  return larger(larger(extreme(s.a.x), extreme(s.b.x)), larger(extreme(s.c.x), extreme(s.d.x)));
}

// Σ x²·code·x and Σ x²·code².
struct Sums {
  lx: f32,
  l2: f32,
}

fn add_quad(sums: Sums, q: Quad, code: vec4<f32>) -> Sums {
  return Sums(accumulate(sums.lx, mul4(q.wx, code)), accumulate(sums.l2, mul4(mul4(q.w, code), code)));
}
