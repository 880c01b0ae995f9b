// Sums of products of codes and int8 activations: exact in integers over 16 or 32 weights, then scaled.

#import matmul/four_rows.wgsl

// sum + what 32 columns of a row give.
fn multiply_row(sum: f32, w: Codes, x: Activations) -> f32 {
  var part = 0.0;
  if (ONE_SCALE) {
    part = w.scales.x * f32(dot16(w.b, x.b, dot16(w.a, x.a, -OFFSET * x.sum)));
    if (HAS_MIN) { part = fma(w.mins.x, -x.float_sum, part); }
  } else {
    let first = f32(dot16(w.a, x.a, -OFFSET * x.sums.x));
    let last = f32(dot16(w.b, x.b, -OFFSET * x.sums.y));
    part = fma(w.scales.x, first, w.scales.y * last);
    if (HAS_MIN) { part = fma(w.mins.x, -f32(x.sums.x), fma(w.mins.y, -f32(x.sums.y), part)); }
  }
  return fma(x.scale, part, sum);
}

// sums + what 32 columns of four rows give.
fn multiply(sums: vec4<f32>, w: Four, x: Activations) -> vec4<f32> {
  return vec4<f32>(
    multiply_row(sums.x, w.r0, x), multiply_row(sums.y, w.r1, x), multiply_row(sums.z, w.r2, x), multiply_row(sums.w, w.r3, x));
}

#if COLUMNS > 1
#ifdef THREAD_PER_ROW
// A part of each vector.
struct Parts {
  x0: Activations, x1: Activations, x2: Activations, x3: Activations, x4: Activations, x5: Activations, x6: Activations, x7: Activations,
}

fn parts_of(vector: u32, part: u32) -> Parts {
  var x = Parts();
#ifdef BROADCAST_X
  // Each of the eight lanes loads that of one vector, for all.
  let own = packed(vector + subgroup_lane, part);
  x.x0 = unpacked(Packed(of_lane0(own.a), of_lane0(own.b), subgroupBroadcast(own.head, 0u)));
#if COLUMNS > 1
  x.x1 = unpacked(Packed(of_lane1(own.a), of_lane1(own.b), subgroupBroadcast(own.head, 1u)));
  x.x2 = unpacked(Packed(of_lane2(own.a), of_lane2(own.b), subgroupBroadcast(own.head, 2u)));
  x.x3 = unpacked(Packed(of_lane3(own.a), of_lane3(own.b), subgroupBroadcast(own.head, 3u)));
#endif
#if COLUMNS > 4
  x.x4 = unpacked(Packed(of_lane4(own.a), of_lane4(own.b), subgroupBroadcast(own.head, 4u)));
  x.x5 = unpacked(Packed(of_lane5(own.a), of_lane5(own.b), subgroupBroadcast(own.head, 5u)));
  x.x6 = unpacked(Packed(of_lane6(own.a), of_lane6(own.b), subgroupBroadcast(own.head, 6u)));
  x.x7 = unpacked(Packed(of_lane7(own.a), of_lane7(own.b), subgroupBroadcast(own.head, 7u)));
#endif
#else
  x.x0 = activations(vector, part);
#if COLUMNS > 1
  x.x1 = activations(vector + 1u, part);
  x.x2 = activations(vector + 2u, part);
  x.x3 = activations(vector + 3u, part);
#endif
#if COLUMNS > 4
  x.x4 = activations(vector + 4u, part);
  x.x5 = activations(vector + 5u, part);
  x.x6 = activations(vector + 6u, part);
  x.x7 = activations(vector + 7u, part);
#endif
#endif
  return x;
}

// Adds what part `part` of a row gives with each vector.
fn add_part(before: Sums, low: Four, high: Four, vector: u32, part: u32) -> Sums {
  let x = parts_of(vector, part);
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
#else
// Adds what part `part` of a row gives with each vector, which is loaded when it is needed: together they would take a GPU's registers.
fn add_part(before: Sums, low: Four, high: Four, vector: u32, part: u32) -> Sums {
  var sums = before;
  let x0 = activations(vector, part);
  sums.v0 = multiply(sums.v0, low, x0);
  if (ROWS > 4u) { sums.u0 = multiply(sums.u0, high, x0); }
#if COLUMNS > 1
  let x1 = activations(vector + 1u, part);
  sums.v1 = multiply(sums.v1, low, x1);
  if (ROWS > 4u) { sums.u1 = multiply(sums.u1, high, x1); }
  let x2 = activations(vector + 2u, part);
  sums.v2 = multiply(sums.v2, low, x2);
  if (ROWS > 4u) { sums.u2 = multiply(sums.u2, high, x2); }
  let x3 = activations(vector + 3u, part);
  sums.v3 = multiply(sums.v3, low, x3);
  if (ROWS > 4u) { sums.u3 = multiply(sums.u3, high, x3); }
#endif
#if COLUMNS > 4
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
#endif
  return sums;
}
#endif

#import matmul/add_unit.wgsl

// Vectors are looked up by their parts.
fn first_x(task: Task, i: u32) -> u32 { return 0u; }
fn next_x(at: u32, task: Task, i: u32, step: u32) -> u32 { return 0u; }
#else
// For one vector, rows come one after another: few registers hold what is decoded.

// Where the vector's parts of unit `i` of a row begin. They lie in one group: the others of them are as far behind the first as they are in the row.
fn first_x(task: Task, i: u32) -> u32 {
  return part_at(task.vector, i / ROW_UNITS * (BLOCK_QUADS / 8u) + first_part(i % ROW_UNITS));
}

// Of Q5_K, RADV has no register left for it.
const KEEPS_X = CODE_BITS != 5u || UNIT_PARTS == 1u;

// The same of unit `i`, `step` units behind one that is at `at`: whole groups, where as many lanes as a group has blocks share a row.
fn next_x(at: u32, task: Task, i: u32, step: u32) -> u32 {
  if (KEEPS_X && step % INT8_GROUP == 0u) {
    return at + 3u * UNIT_PARTS * step;
  }
  return first_x(task, i);
}

#if UNIT_PARTS == 2
// Adds what the two parts of a unit of row `i` give.
fn add_row(sum: f32, task: Task, i: u32, block: u32, unit: u32, x0: Activations, x1: Activations) -> f32 {
  let raw = fetch(row_start(task, i) + block * INTERLEAVED_ROWS, unit);
  return multiply_row(multiply_row(sum, codes(raw, 0u), x0), codes(raw, 1u), x1);
}

fn add_whole_rows(sums: vec4<f32>, task: Task, i: u32, block: u32, unit: u32, x0: Activations, x1: Activations) -> vec4<f32> {
  let a = add_row(sums.x, task, i, block, unit, x0, x1);
  let b = add_row(sums.y, task, i + 1u, block, unit, x0, x1);
#if ROWS > 2
  let c = add_row(sums.z, task, i + 2u, block, unit, x0, x1);
  return vec4<f32>(a, b, c, add_row(sums.w, task, i + 3u, block, unit, x0, x1));
#else
  return vec4<f32>(a, b, 0.0, 0.0);
#endif
}

fn add_unit(before: Sums, task: Task, block: u32, unit: u32, at: u32) -> Sums {
  var sums = before;
  // What is fetched of a row takes more registers than the vector's two parts, which stay.
  let x0 = activations_at(at);
  let x1 = activations_at(at + PART_STEP);
  sums.v0 = add_whole_rows(before.v0, task, 0u, block, unit, x0, x1);
#if ROWS > 4
  sums.u0 = add_whole_rows(before.u0, task, 4u, block, unit, x0, x1);
#endif
  return sums;
}
#else
// Adds what part `part` of four rows gives.
fn add_rows(sums: vec4<f32>, raws: Raws, part: u32, x: Activations) -> vec4<f32> {
  let a = multiply_row(sums.x, codes(raws.r0, part), x);
  let b = multiply_row(sums.y, codes(raws.r1, part), x);
#if ROWS > 2
  let c = multiply_row(sums.z, codes(raws.r2, part), x);
  return vec4<f32>(a, b, c, multiply_row(sums.w, codes(raws.r3, part), x));
#else
  return vec4<f32>(a, b, 0.0, 0.0);
#endif
}

fn add_part_for_one(before: Sums, low: Raws, high: Raws, part: u32, x: Activations) -> Sums {
  var sums = before;
  sums.v0 = add_rows(before.v0, low, part, x);
#if ROWS > 4
  sums.u0 = add_rows(before.u0, high, part, x);
#endif
  return sums;
}

fn add_unit(before: Sums, task: Task, block: u32, unit: u32, at: u32) -> Sums {
  let low = fetch_four(task, 0u, block, unit);
  var high = low;
#if ROWS > 4
  high = fetch_four(task, 4u, block, unit);
#endif
  var sums = add_part_for_one(before, low, high, 0u, activations_at(at));
#if UNIT_PARTS > 1
  sums = add_part_for_one(sums, low, high, 1u, activations_at(at + PART_STEP));
  sums = add_part_for_one(sums, low, high, 2u, activations_at(at + 2u * PART_STEP));
  sums = add_part_for_one(sums, low, high, 3u, activations_at(at + 3u * PART_STEP));
#endif
  return sums;
}
#endif
#endif
