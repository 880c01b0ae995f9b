// Sums of products of weights and f32 activations, four columns at a time: a weight is decoded as by the twin, and each product is rounded once.

// sums + x·w, w[i] being weight i of four rows.
fn multiply(sums: vec4<f32>, w: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> {
  return fma(w[3], vec4<f32>(x.w), fma(w[2], vec4<f32>(x.z), fma(w[1], vec4<f32>(x.y), fma(w[0], vec4<f32>(x.x), sums))));
}

// Adds what quad `quad` of a row gives with each vector.
fn add_quad(before: Sums, low: mat4x4<f32>, high: mat4x4<f32>, vector: u32, quad: u32) -> Sums {
  var sums = before;
  let x0 = activations(vector, quad);
  sums.v0 = multiply(sums.v0, low, x0);
  if (ROWS > 4u) { sums.u0 = multiply(sums.u0, high, x0); }
  if (COLUMNS > 1u) {
    let x1 = activations(vector + 1u, quad);
    sums.v1 = multiply(sums.v1, low, x1);
    if (ROWS > 4u) { sums.u1 = multiply(sums.u1, high, x1); }
    let x2 = activations(vector + 2u, quad);
    sums.v2 = multiply(sums.v2, low, x2);
    if (ROWS > 4u) { sums.u2 = multiply(sums.u2, high, x2); }
    let x3 = activations(vector + 3u, quad);
    sums.v3 = multiply(sums.v3, low, x3);
    if (ROWS > 4u) { sums.u3 = multiply(sums.u3, high, x3); }
  }
  if (COLUMNS > 4u) {
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
  }
  return sums;
}

#ifdef CODES
#import lib/four_rows.wgsl
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

#import lib/add_unit.wgsl
#else
const UNIT_QUADS = BLOCK_QUADS;

// A quad of the chunks of four rows.
fn weights(place: Place, i: u32, block: u32, quad: u32) -> mat4x4<f32> {
  let r0 = floats(chunk_at(row_start(place, i) + block), quad);
  let r1 = floats(chunk_at(row_start(place, i + 1u) + block), quad);
  var rows = mat4x4<f32>(r0, r1, r0, r1);
  if (ROWS > 2u) {
    rows = mat4x4<f32>(
      r0, r1, floats(chunk_at(row_start(place, i + 2u) + block), quad), floats(chunk_at(row_start(place, i + 3u) + block), quad));
  }
  return transpose(rows);
}

fn add_unit(before: Sums, place: Place, block: u32, unit: u32) -> Sums {
  var sums = before;
  for (var quad = 0u; quad < BLOCK_QUADS; quad++) {
    let low = weights(place, 0u, block, quad);
    var high = low;
    if (ROWS > 4u) { high = weights(place, 4u, block, quad); }
    sums = add_quad(sums, low, high, place.vector, block * BLOCK_QUADS + quad);
  }
  return sums;
}
#endif
