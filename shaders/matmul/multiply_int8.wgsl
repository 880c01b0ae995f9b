// Products of codes and int8 activations: exact in integers over 16 or 32 weights, then scaled.

#import matmul/four_rows.wgsl

// sum + the product of a part of a row.
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

// sums + the products of a part of four rows.
fn multiply(sums: vec4<f32>, w: Four, x: Activations) -> vec4<f32> {
  return vec4<f32>(
#repeat i 4
    multiply_row(sums[$i], w.r$i, x),
#end
  );
}

#if COLUMNS > 1
#ifdef THREAD_PER_ROW
// A part of each vector.
struct Parts {
#repeat i 8
  x$i: Activations,
#end
}

fn parts_of(vector: u32, part: u32) -> Parts {
  var x = Parts();
#ifdef BROADCAST_X
  // Each of the eight lanes loads that of one vector, for all.
  let own = packed(vector + subgroup_lane, part);
#repeat i COLUMNS
  x.x$i = unpacked(Packed(of_lane$i(own.a), of_lane$i(own.b), subgroupBroadcast(own.head, $iu)));
#end
#else
#repeat i COLUMNS
  x.x$i = activations(vector + $iu, part);
#end
#endif
  return x;
}

// Adds the products of part `part` of eight rows, `low` and `high`, with each vector.
fn add_part(before: Sums, low: Four, high: Four, vector: u32, part: u32) -> Sums {
  let x = parts_of(vector, part);
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
#else
// Adds the products of part `part` of eight rows, `low` and `high`, with each vector. A vector is loaded when
// it is needed: all of them would take a GPU's registers.
fn add_part(before: Sums, low: Four, high: Four, vector: u32, part: u32) -> Sums {
  var sums = before;
#repeat i COLUMNS
  let x$i = activations(vector + $iu, part);
  sums.v$i = multiply(sums.v$i, low, x$i);
#if ROWS > 4
  sums.u$i = multiply(sums.u$i, high, x$i);
#endif
#end
  return sums;
}
#endif

#import matmul/add_unit.wgsl

// Activations are addressed by their part, so there is no index to keep.
fn first_x(task: Task, i: u32) -> u32 { return 0u; }
fn next_x(at: u32, task: Task, i: u32, step: u32) -> u32 { return 0u; }
#else
// With one vector, rows are decoded one after another, which takes few registers.

// The index of the vector's first part for unit `i` of a row. The parts of a unit lie in one group of int8
// blocks, so they are as far apart in x as in the row.
fn first_x(task: Task, i: u32) -> u32 {
  return part_at(task.vector, i / ROW_UNITS * (BLOCK_QUADS / 8u) + first_part(i % ROW_UNITS));
}

// Whether the index is kept in a register. RADV has none left in the kernel of Q5_K.
const KEEPS_X = CODE_BITS != 5u || UNIT_PARTS == 1u;

// The same index for unit `i`, which is `step` units after one whose index is `at`. These are whole groups of
// int8 blocks where a multiple of INT8_GROUP lanes shares a row.
fn next_x(at: u32, task: Task, i: u32, step: u32) -> u32 {
  if (KEEPS_X && step % INT8_GROUP == 0u) {
    return at + 3u * UNIT_PARTS * step;
  }
  return first_x(task, i);
}

#if UNIT_PARTS == 2
// sum + the products of the two parts of a unit of row `i`.
fn add_row(sum: f32, task: Task, i: u32, block: u32, unit: u32, x0: Activations, x1: Activations) -> f32 {
  let raw = fetch(row_start(task, i) + block * INTERLEAVED_ROWS, unit);
  return multiply_row(multiply_row(sum, codes(raw, 0u), x0), codes(raw, 1u), x1);
}

// sums + the products of the two parts of a unit of rows `i` to `i` + 3.
fn add_whole_rows(
  sums: vec4<f32>, task: Task, i: u32, block: u32, unit: u32, x0: Activations, x1: Activations) -> vec4<f32> {
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
  // The vector's two parts stay in registers; the fetched unit of a row would take more.
  let x0 = activations_at(at);
  let x1 = activations_at(at + PART_STEP);
  sums.v0 = add_whole_rows(before.v0, task, 0u, block, unit, x0, x1);
#if ROWS > 4
  sums.u0 = add_whole_rows(before.u0, task, 4u, block, unit, x0, x1);
#endif
  return sums;
}
#else
// sums + the products of part `part` of four rows.
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
  var sums = before;
#repeat part UNIT_PARTS
  sums = add_part_for_one(sums, low, high, $partu, activations_at(at + $partu * PART_STEP));
#end
  return sums;
}
#endif
#endif
