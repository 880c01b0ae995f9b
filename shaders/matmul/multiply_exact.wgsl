// Sums of products of weights and f32 activations, four columns at a time: a weight is decoded as by the twin, and each product is rounded once.

// sums + x·w, w[i] being weight i of four rows.
fn multiply(sums: vec4<f32>, w: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> {
  return fma(w[3], vec4<f32>(x.w), fma(w[2], vec4<f32>(x.z), fma(w[1], vec4<f32>(x.y), fma(w[0], vec4<f32>(x.x), sums))));
}

#ifdef THREAD_PER_ROW
// A quad of each vector.
struct Quads {
  x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>, x4: vec4<f32>, x5: vec4<f32>, x6: vec4<f32>, x7: vec4<f32>,
}

fn quads(vector: u32, quad: u32) -> Quads {
  var x = Quads();
  x.x0 = activations(vector, quad);
#if COLUMNS > 1
  x.x1 = activations(vector + 1u, quad);
  x.x2 = activations(vector + 2u, quad);
  x.x3 = activations(vector + 3u, quad);
#endif
#if COLUMNS > 4
  x.x4 = activations(vector + 4u, quad);
  x.x5 = activations(vector + 5u, quad);
  x.x6 = activations(vector + 6u, quad);
  x.x7 = activations(vector + 7u, quad);
#endif
  return x;
}

// Adds what a quad of a row gives with each vector.
fn add_quads(before: Sums, low: mat4x4<f32>, high: mat4x4<f32>, x: Quads) -> Sums {
  var sums = before;
  sums.v0 = multiply(sums.v0, low, x.x0);
#if COLUMNS > 1
  sums.v1 = multiply(sums.v1, low, x.x1);
  sums.v2 = multiply(sums.v2, low, x.x2);
  sums.v3 = multiply(sums.v3, low, x.x3);
#endif
#if COLUMNS > 4
  sums.v4 = multiply(sums.v4, low, x.x4);
  sums.v5 = multiply(sums.v5, low, x.x5);
  sums.v6 = multiply(sums.v6, low, x.x6);
  sums.v7 = multiply(sums.v7, low, x.x7);
#endif
#if ROWS > 4
  sums.u0 = multiply(sums.u0, high, x.x0);
#if COLUMNS > 1
  sums.u1 = multiply(sums.u1, high, x.x1);
  sums.u2 = multiply(sums.u2, high, x.x2);
  sums.u3 = multiply(sums.u3, high, x.x3);
#endif
#if COLUMNS > 4
  sums.u4 = multiply(sums.u4, high, x.x4);
  sums.u5 = multiply(sums.u5, high, x.x5);
  sums.u6 = multiply(sums.u6, high, x.x6);
  sums.u7 = multiply(sums.u7, high, x.x7);
#endif
#endif
  return sums;
}

fn add_quad(before: Sums, low: mat4x4<f32>, high: mat4x4<f32>, vector: u32, quad: u32) -> Sums {
  return add_quads(before, low, high, quads(vector, quad));
}
#else
// Adds what quad `quad` of a row gives with each vector, which is loaded when it is needed: together they would take a GPU's registers.
fn add_quad(before: Sums, low: mat4x4<f32>, high: mat4x4<f32>, vector: u32, quad: u32) -> Sums {
  var sums = before;
  let x0 = activations(vector, quad);
  sums.v0 = multiply(sums.v0, low, x0);
  if (ROWS > 4u) { sums.u0 = multiply(sums.u0, high, x0); }
#if COLUMNS > 1
  let x1 = activations(vector + 1u, quad);
  sums.v1 = multiply(sums.v1, low, x1);
  if (ROWS > 4u) { sums.u1 = multiply(sums.u1, high, x1); }
  let x2 = activations(vector + 2u, quad);
  sums.v2 = multiply(sums.v2, low, x2);
  if (ROWS > 4u) { sums.u2 = multiply(sums.u2, high, x2); }
  let x3 = activations(vector + 3u, quad);
  sums.v3 = multiply(sums.v3, low, x3);
  if (ROWS > 4u) { sums.u3 = multiply(sums.u3, high, x3); }
#endif
#if COLUMNS > 4
  let x4 = activations(vector + 4u, quad);
  sums.v4 = multiply(sums.v4, low, x4);
  if (ROWS > 4u) { sums.u4 = multiply(sums.u4, high, x4); }
  let x5 = activations(vector + 5u, quad);
  sums.v5 = multiply(sums.v5, low, x5);
  if (ROWS > 4u) { sums.u5 = multiply(sums.u5, high, x5); }
  let x6 = activations(vector + 6u, quad);
  sums.v6 = multiply(sums.v6, low, x6);
  if (ROWS > 4u) { sums.u6 = multiply(sums.u6, high, x6); }
  let x7 = activations(vector + 7u, quad);
  sums.v7 = multiply(sums.v7, low, x7);
  if (ROWS > 4u) { sums.u7 = multiply(sums.u7, high, x7); }
#endif
  return sums;
}
#endif

#ifdef CODES
#import matmul/four_rows.wgsl
#import lib/exact.wgsl

fn codes_of_word(word: u32) -> vec4<f32> { return vec4<f32>(unpack4xI8(word)) - f32(OFFSET); }

// Weights from a word of codes of each row, whose scales and mins these are.
fn weights(words: vec4<u32>, scales: vec4<f32>, mins: vec4<f32>) -> mat4x4<f32> {
  let q = transpose(mat4x4<f32>(
    codes_of_word(words.x), codes_of_word(words.y), codes_of_word(words.z), codes_of_word(words.w)));
  if (HAS_MIN) {
    // Fused with the difference, the product would not be the twin's, and of a small difference that could be all. Alone it may go on as it likes.
    return mat4x4<f32>(
      opaque4(scales * q[0]) - mins, opaque4(scales * q[1]) - mins, opaque4(scales * q[2]) - mins, opaque4(scales * q[3]) - mins);
  }
  return mat4x4<f32>(scales * q[0], scales * q[1], scales * q[2], scales * q[3]);
}

fn first_weights(w: Four, words: vec4<u32>) -> mat4x4<f32> {
  return weights(
    words, vec4<f32>(w.r0.scales.x, w.r1.scales.x, w.r2.scales.x, w.r3.scales.x), vec4<f32>(w.r0.mins.x, w.r1.mins.x, w.r2.mins.x, w.r3.mins.x));
}

fn last_weights(w: Four, words: vec4<u32>) -> mat4x4<f32> {
  return weights(
    words, vec4<f32>(w.r0.scales.y, w.r1.scales.y, w.r2.scales.y, w.r3.scales.y), vec4<f32>(w.r0.mins.y, w.r1.mins.y, w.r2.mins.y, w.r3.mins.y));
}

fn weights0(w: Four) -> mat4x4<f32> { return first_weights(w, vec4<u32>(w.r0.a.x, w.r1.a.x, w.r2.a.x, w.r3.a.x)); }
fn weights1(w: Four) -> mat4x4<f32> { return first_weights(w, vec4<u32>(w.r0.a.y, w.r1.a.y, w.r2.a.y, w.r3.a.y)); }
fn weights2(w: Four) -> mat4x4<f32> { return first_weights(w, vec4<u32>(w.r0.a.z, w.r1.a.z, w.r2.a.z, w.r3.a.z)); }
fn weights3(w: Four) -> mat4x4<f32> { return first_weights(w, vec4<u32>(w.r0.a.w, w.r1.a.w, w.r2.a.w, w.r3.a.w)); }
fn weights4(w: Four) -> mat4x4<f32> { return last_weights(w, vec4<u32>(w.r0.b.x, w.r1.b.x, w.r2.b.x, w.r3.b.x)); }
fn weights5(w: Four) -> mat4x4<f32> { return last_weights(w, vec4<u32>(w.r0.b.y, w.r1.b.y, w.r2.b.y, w.r3.b.y)); }
fn weights6(w: Four) -> mat4x4<f32> { return last_weights(w, vec4<u32>(w.r0.b.z, w.r1.b.z, w.r2.b.z, w.r3.b.z)); }
fn weights7(w: Four) -> mat4x4<f32> { return last_weights(w, vec4<u32>(w.r0.b.w, w.r1.b.w, w.r2.b.w, w.r3.b.w)); }

#ifdef BROADCAST_X
// What a lane of the subgroup has loaded.
fn quads_of_lane0(x: Quads) -> Quads {
  return Quads(
    subgroupBroadcast(x.x0, 0u), subgroupBroadcast(x.x1, 0u), subgroupBroadcast(x.x2, 0u), subgroupBroadcast(x.x3, 0u),
    subgroupBroadcast(x.x4, 0u), subgroupBroadcast(x.x5, 0u), subgroupBroadcast(x.x6, 0u), subgroupBroadcast(x.x7, 0u));
}
fn quads_of_lane1(x: Quads) -> Quads {
  return Quads(
    subgroupBroadcast(x.x0, 1u), subgroupBroadcast(x.x1, 1u), subgroupBroadcast(x.x2, 1u), subgroupBroadcast(x.x3, 1u),
    subgroupBroadcast(x.x4, 1u), subgroupBroadcast(x.x5, 1u), subgroupBroadcast(x.x6, 1u), subgroupBroadcast(x.x7, 1u));
}
fn quads_of_lane2(x: Quads) -> Quads {
  return Quads(
    subgroupBroadcast(x.x0, 2u), subgroupBroadcast(x.x1, 2u), subgroupBroadcast(x.x2, 2u), subgroupBroadcast(x.x3, 2u),
    subgroupBroadcast(x.x4, 2u), subgroupBroadcast(x.x5, 2u), subgroupBroadcast(x.x6, 2u), subgroupBroadcast(x.x7, 2u));
}
fn quads_of_lane3(x: Quads) -> Quads {
  return Quads(
    subgroupBroadcast(x.x0, 3u), subgroupBroadcast(x.x1, 3u), subgroupBroadcast(x.x2, 3u), subgroupBroadcast(x.x3, 3u),
    subgroupBroadcast(x.x4, 3u), subgroupBroadcast(x.x5, 3u), subgroupBroadcast(x.x6, 3u), subgroupBroadcast(x.x7, 3u));
}
fn quads_of_lane4(x: Quads) -> Quads {
  return Quads(
    subgroupBroadcast(x.x0, 4u), subgroupBroadcast(x.x1, 4u), subgroupBroadcast(x.x2, 4u), subgroupBroadcast(x.x3, 4u),
    subgroupBroadcast(x.x4, 4u), subgroupBroadcast(x.x5, 4u), subgroupBroadcast(x.x6, 4u), subgroupBroadcast(x.x7, 4u));
}
fn quads_of_lane5(x: Quads) -> Quads {
  return Quads(
    subgroupBroadcast(x.x0, 5u), subgroupBroadcast(x.x1, 5u), subgroupBroadcast(x.x2, 5u), subgroupBroadcast(x.x3, 5u),
    subgroupBroadcast(x.x4, 5u), subgroupBroadcast(x.x5, 5u), subgroupBroadcast(x.x6, 5u), subgroupBroadcast(x.x7, 5u));
}
fn quads_of_lane6(x: Quads) -> Quads {
  return Quads(
    subgroupBroadcast(x.x0, 6u), subgroupBroadcast(x.x1, 6u), subgroupBroadcast(x.x2, 6u), subgroupBroadcast(x.x3, 6u),
    subgroupBroadcast(x.x4, 6u), subgroupBroadcast(x.x5, 6u), subgroupBroadcast(x.x6, 6u), subgroupBroadcast(x.x7, 6u));
}
fn quads_of_lane7(x: Quads) -> Quads {
  return Quads(
    subgroupBroadcast(x.x0, 7u), subgroupBroadcast(x.x1, 7u), subgroupBroadcast(x.x2, 7u), subgroupBroadcast(x.x3, 7u),
    subgroupBroadcast(x.x4, 7u), subgroupBroadcast(x.x5, 7u), subgroupBroadcast(x.x6, 7u), subgroupBroadcast(x.x7, 7u));
}

// Adds what part `part` of a row gives: each of the eight lanes loads a quad of it, for all.
fn add_part(before: Sums, low: Four, high: Four, vector: u32, part: u32) -> Sums {
  let own = quads(vector, 8u * part + subgroup_lane);
  var sums = before;
  sums = add_quads(sums, weights0(low), weights0(high), quads_of_lane0(own));
  sums = add_quads(sums, weights1(low), weights1(high), quads_of_lane1(own));
  sums = add_quads(sums, weights2(low), weights2(high), quads_of_lane2(own));
  sums = add_quads(sums, weights3(low), weights3(high), quads_of_lane3(own));
  sums = add_quads(sums, weights4(low), weights4(high), quads_of_lane4(own));
  sums = add_quads(sums, weights5(low), weights5(high), quads_of_lane5(own));
  sums = add_quads(sums, weights6(low), weights6(high), quads_of_lane6(own));
  sums = add_quads(sums, weights7(low), weights7(high), quads_of_lane7(own));
  return sums;
}
#else
// Adds what part `part` of a row gives.
fn add_part(before: Sums, low: Four, high: Four, vector: u32, part: u32) -> Sums {
  let quad = 8u * part;
  var sums = before;
  sums = add_quad(sums, weights0(low), weights0(high), vector, quad);
  sums = add_quad(sums, weights1(low), weights1(high), vector, quad + 1u);
  sums = add_quad(sums, weights2(low), weights2(high), vector, quad + 2u);
  sums = add_quad(sums, weights3(low), weights3(high), vector, quad + 3u);
  sums = add_quad(sums, weights4(low), weights4(high), vector, quad + 4u);
  sums = add_quad(sums, weights5(low), weights5(high), vector, quad + 5u);
  sums = add_quad(sums, weights6(low), weights6(high), vector, quad + 6u);
  sums = add_quad(sums, weights7(low), weights7(high), vector, quad + 7u);
  return sums;
}
#endif

#import matmul/add_unit.wgsl
#else
const UNIT_QUADS = BLOCK_QUADS;
const ROW_UNITS = 1u;

// A quad of the chunks of four rows.
fn weights(task: Task, i: u32, block: u32, quad: u32) -> mat4x4<f32> {
  let r0 = floats(vec4_at(row_start(task, i) + block), quad);
  let r1 = floats(vec4_at(row_start(task, i + 1u) + block), quad);
  var rows = mat4x4<f32>(r0, r1, r0, r1);
#if ROWS > 2
  rows = mat4x4<f32>(
    r0, r1, floats(vec4_at(row_start(task, i + 2u) + block), quad), floats(vec4_at(row_start(task, i + 3u) + block), quad));
#endif
  return transpose(rows);
}

fn add_unit(before: Sums, task: Task, block: u32, unit: u32, at: u32) -> Sums {
  var sums = before;
  for (var quad = 0u; quad < BLOCK_QUADS; quad++) {
    let low = weights(task, 0u, block, quad);
    var high = low;
#if ROWS > 4
    high = weights(task, 4u, block, quad);
#endif
    sums = add_quad(sums, low, high, task.vector, block * BLOCK_QUADS + quad);
  }
  return sums;
}
#endif

// Numbers are looked up by their columns.
fn first_x(task: Task, i: u32) -> u32 { return 0u; }
fn next_x(at: u32, task: Task, i: u32, step: u32) -> u32 { return 0u; }
