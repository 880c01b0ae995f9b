// Products of weights and f32 activations, four columns at a time. A weight is decoded as by the CPU
// reference, and each product is rounded once.

// sums + x·w, where w[i] is weight i of four rows.
fn multiply(sums: vec4<f32>, w: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> {
  let first_two = fma(w[1], vec4<f32>(x.y), fma(w[0], vec4<f32>(x.x), sums));
  return fma(w[3], vec4<f32>(x.w), fma(w[2], vec4<f32>(x.z), first_two));
}

#ifdef THREAD_PER_ROW
// A quad of each vector.
struct Quads {
#repeat i 8
  x$i: vec4<f32>,
#end
}

fn quads(vector: u32, quad: u32) -> Quads {
  var x = Quads();
#repeat i COLUMNS
  x.x$i = activations(vector + $iu, quad);
#end
  return x;
}

// Adds the products of a quad of eight rows, `low` and `high`, with each vector.
fn add_quads(before: Sums, low: mat4x4<f32>, high: mat4x4<f32>, x: Quads) -> Sums {
  var sums = before;
#repeat i COLUMNS
  sums.v$i = multiply(sums.v$i, low, x.x$i);
#end
#if ROWS > 4
#repeat i COLUMNS
  sums.u$i = multiply(sums.u$i, high, x.x$i);
#end
#endif
  return sums;
}

fn add_quad(before: Sums, low: mat4x4<f32>, high: mat4x4<f32>, vector: u32, quad: u32) -> Sums {
  return add_quads(before, low, high, quads(vector, quad));
}
#else
// Adds the products of quad `quad` of eight rows, `low` and `high`, with each vector. A vector is loaded when
// it is needed: all of them would take a GPU's registers.
fn add_quad(before: Sums, low: mat4x4<f32>, high: mat4x4<f32>, vector: u32, quad: u32) -> Sums {
  var sums = before;
#repeat i COLUMNS
  let x$i = activations(vector + $iu, quad);
  sums.v$i = multiply(sums.v$i, low, x$i);
#if ROWS > 4
  sums.u$i = multiply(sums.u$i, high, x$i);
#endif
#end
  return sums;
}
#endif

#ifdef CODES
#import matmul/four_rows.wgsl
#import lib/exact.wgsl

fn codes_of_word(word: u32) -> vec4<f32> { return vec4<f32>(unpack4xI8(word)) - f32(OFFSET); }

// Four weights of each row: column i of the matrix is weight i of the four rows. `words` has a word of codes
// of each row.
fn weights(words: vec4<u32>, scales: vec4<f32>, mins: vec4<f32>) -> mat4x4<f32> {
  let q = transpose(mat4x4<f32>(
    codes_of_word(words.x), codes_of_word(words.y), codes_of_word(words.z), codes_of_word(words.w)));
  if (HAS_MIN) {
    // Fused with the difference, the product would not be the CPU reference's, and where the difference is
    // small, the error would not be. The difference itself may be fused with what follows.
    return mat4x4<f32>(
#repeat i 4
      opaque4(scales * q[$i]) - mins,
#end
    );
  }
  return mat4x4<f32>(scales * q[0], scales * q[1], scales * q[2], scales * q[3]);
}

fn first_weights(w: Four, words: vec4<u32>) -> mat4x4<f32> {
  let scales = vec4<f32>(w.r0.scales.x, w.r1.scales.x, w.r2.scales.x, w.r3.scales.x);
  return weights(words, scales, vec4<f32>(w.r0.mins.x, w.r1.mins.x, w.r2.mins.x, w.r3.mins.x));
}

fn last_weights(w: Four, words: vec4<u32>) -> mat4x4<f32> {
  let scales = vec4<f32>(w.r0.scales.y, w.r1.scales.y, w.r2.scales.y, w.r3.scales.y);
  return weights(words, scales, vec4<f32>(w.r0.mins.y, w.r1.mins.y, w.r2.mins.y, w.r3.mins.y));
}

// weights0 to weights7: a quad of each row.
#repeat i 4
fn weights$i(w: Four) -> mat4x4<f32> {
  return first_weights(w, vec4<u32>(w.r0.a[$i], w.r1.a[$i], w.r2.a[$i], w.r3.a[$i]));
}
#end
#repeat i 4 8
fn weights$i(w: Four) -> mat4x4<f32> {
  return last_weights(w, vec4<u32>(w.r0.b[$i - 4], w.r1.b[$i - 4], w.r2.b[$i - 4], w.r3.b[$i - 4]));
}
#end

#ifdef BROADCAST_X
// The quads that a lane of the subgroup has loaded.
#repeat lane 8
fn quads_of_lane$lane(x: Quads) -> Quads {
  return Quads(
#repeat i 8
    subgroupBroadcast(x.x$i, $laneu),
#end
  );
}
#end

// Adds the products of part `part`. Each of the eight lanes loads a quad of it, for all.
fn add_part(before: Sums, low: Four, high: Four, vector: u32, part: u32) -> Sums {
  let own = quads(vector, 8u * part + subgroup_lane);
  var sums = before;
#repeat i 8
  sums = add_quads(sums, weights$i(low), weights$i(high), quads_of_lane$i(own));
#end
  return sums;
}
#else
// Adds the products of part `part`.
fn add_part(before: Sums, low: Four, high: Four, vector: u32, part: u32) -> Sums {
  let quad = 8u * part;
  var sums = before;
#repeat i 8
  sums = add_quad(sums, weights$i(low), weights$i(high), vector, quad + $iu);
#end
  return sums;
}
#endif

#import matmul/add_unit.wgsl
#else
const UNIT_QUADS = BLOCK_QUADS;
const ROW_UNITS = 1u;

// Quad `quad` of a vec4 of weights of each of four rows, transposed.
fn weights(task: Task, i: u32, block: u32, quad: u32) -> mat4x4<f32> {
  let r0 = floats(vec4_at(row_start(task, i) + block), quad);
  let r1 = floats(vec4_at(row_start(task, i + 1u) + block), quad);
  var rows = mat4x4<f32>(r0, r1, r0, r1);
#if ROWS > 2
  let r2 = floats(vec4_at(row_start(task, i + 2u) + block), quad);
  let r3 = floats(vec4_at(row_start(task, i + 3u) + block), quad);
  rows = mat4x4<f32>(r0, r1, r2, r3);
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

// Activations are addressed by their column, so there is no index to keep.
fn first_x(task: Task, i: u32) -> u32 { return 0u; }
fn next_x(at: u32, task: Task, i: u32, step: u32) -> u32 { return 0u; }
