// Sums of products of codes and int8 activations: exact in integers over 16 or 32 weights, then scaled.

#import lib/dot.wgsl
#import lib/four_rows.wgsl

// The dot products of four rows' halves, added to sums of their own.
fn first_dots(w: Four, x: Activations, sums: vec4<i32>) -> vec4<i32> {
  return vec4<i32>(dot16(w.r0.a, x.a, sums.x), dot16(w.r1.a, x.a, sums.y), dot16(w.r2.a, x.a, sums.z), dot16(w.r3.a, x.a, sums.w));
}

fn last_dots(w: Four, x: Activations, sums: vec4<i32>) -> vec4<i32> {
  return vec4<i32>(dot16(w.r0.b, x.b, sums.x), dot16(w.r1.b, x.b, sums.y), dot16(w.r2.b, x.b, sums.z), dot16(w.r3.b, x.b, sums.w));
}

// sums + what 32 columns of four rows give.
fn multiply(sums: vec4<f32>, w: Four, x: Activations) -> vec4<f32> {
  let first_scales = vec4<f32>(w.r0.scales.x, w.r1.scales.x, w.r2.scales.x, w.r3.scales.x);
  let first_mins = vec4<f32>(w.r0.mins.x, w.r1.mins.x, w.r2.mins.x, w.r3.mins.x);
  var part = vec4<f32>();
  if (ONE_SCALE) {
    let offset = vec4<i32>(-OFFSET * x.sum);
    part = first_scales * vec4<f32>(last_dots(w, x, first_dots(w, x, offset)));
    if (HAS_MIN) {
      part = fma(first_mins, vec4<f32>(-x.float_sum), part);
    }
  } else {
    let last_scales = vec4<f32>(w.r0.scales.y, w.r1.scales.y, w.r2.scales.y, w.r3.scales.y);
    let first = vec4<f32>(first_dots(w, x, vec4<i32>(-OFFSET * x.sums.x)));
    let last = vec4<f32>(last_dots(w, x, vec4<i32>(-OFFSET * x.sums.y)));
    part = fma(first_scales, first, last_scales * last);
    if (HAS_MIN) {
      let last_mins = vec4<f32>(w.r0.mins.y, w.r1.mins.y, w.r2.mins.y, w.r3.mins.y);
      part = fma(first_mins, vec4<f32>(-f32(x.sums.x)), fma(last_mins, vec4<f32>(-f32(x.sums.y)), part));
    }
  }
  return fma(vec4<f32>(x.scale), part, sums);
}

// Adds what part `part` of a row gives with each vector.
fn add_part(before: Sums, low: Four, high: Four, vector: u32, part: u32) -> Sums {
  var sums = before;
  let x0 = activations(vector, part);
  sums.v0 = multiply(sums.v0, low, x0);
  if (ROWS > 4u) { sums.u0 = multiply(sums.u0, high, x0); }
  if (COLUMNS > 1u) {
    let x1 = activations(vector + 1u, part);
    sums.v1 = multiply(sums.v1, low, x1);
    if (ROWS > 4u) { sums.u1 = multiply(sums.u1, high, x1); }
    let x2 = activations(vector + 2u, part);
    sums.v2 = multiply(sums.v2, low, x2);
    if (ROWS > 4u) { sums.u2 = multiply(sums.u2, high, x2); }
    let x3 = activations(vector + 3u, part);
    sums.v3 = multiply(sums.v3, low, x3);
    if (ROWS > 4u) { sums.u3 = multiply(sums.u3, high, x3); }
  }
  if (COLUMNS > 4u) {
    let x4 = activations(vector + 4u, part);
    sums.v4 = multiply(sums.v4, low, x4);
    if (ROWS > 4u) { sums.u4 = multiply(sums.u4, high, x4); }
    let x5 = activations(vector + 5u, part);
    sums.v5 = multiply(sums.v5, low, x5);
    if (ROWS > 4u) { sums.u5 = multiply(sums.u5, high, x5); }
    let x6 = activations(vector + 6u, part);
    sums.v6 = multiply(sums.v6, low, x6);
    if (ROWS > 4u) { sums.u6 = multiply(sums.u6, high, x6); }
    let x7 = activations(vector + 7u, part);
    sums.v7 = multiply(sums.v7, low, x7);
    if (ROWS > 4u) { sums.u7 = multiply(sums.u7, high, x7); }
  }
  return sums;
}

#import lib/add_unit.wgsl
