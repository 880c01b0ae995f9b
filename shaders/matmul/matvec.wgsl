// y = x·Wᵀ: COLUMNS vectors times ROWS (2, 4 or 8) rows of W, by one lane or by several that share the rows.
//
// Each weight is read and decoded once for all vectors. Lanes divide the units of a row among them, so that neighbours read what lies side by side, and add up
// what they have: in workgroup memory (SHARED), by subgroup operations (SUBGROUP), or not at all where one lane owns its rows, which is the form for adapters that
// compute on the CPU. A unit is what a format fetches at once: parts of 32 weights as codes, or a chunk of floats.
//
// With SPLIT_K, lanes have a span of the columns, of several that lie side by side in the dispatch; y is then the sums of each span, which matmul_sum.wgsl adds.
//
// Longest path of additions: a lane's weights of a row, then log2 of the lanes.

#import matmul/product.wgsl
#ifdef EXPERTS
// The expert of each row of y.
@group(0) @binding(7) var<storage, read> experts: array<u32>;
#endif
#ifdef EXPERT_BATCHES
// Rows of y that have the same expert, COLUMNS side by side, or a number of none (matmul/expert_assignments.wgsl).
@group(0) @binding(8) var<storage, read> slots: array<u32>;
#endif

// The sums of four rows with each vector, and of four more.
struct Sums {
  v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>, v4: vec4<f32>, v5: vec4<f32>, v6: vec4<f32>, v7: vec4<f32>,
  u0: vec4<f32>, u1: vec4<f32>, u2: vec4<f32>, u3: vec4<f32>, u4: vec4<f32>, u5: vec4<f32>, u6: vec4<f32>, u7: vec4<f32>,
}

// What a lane works on: the first of its vectors, the first row of y, the row of the matrix that is bound here, which may be none, and the span of columns.
struct Task {
  vector: u32,
  row: u32,
  shard_row: u32,
  slice: u32,
}

// The first block of row `i` from a place on; of some row where there is none.
fn row_start(task: Task, i: u32) -> u32 {
  let row = task.shard_row + i;
  return first_block(select(0u, row, row < params.rows));
}

#ifdef BROADCAST_X
// Each lane has rows of its own, and a subgroup of eight the same vectors: a lane loads an eighth of them, and gets the rest from the others.
var<private> subgroup_lane: u32;
#endif

#ifdef INT8
#import matmul/multiply_int8.wgsl
#else
#import matmul/multiply_exact.wgsl
#endif

// Adds what the lane's units of its rows give: units first, first + step, … of the span.
fn add_units(task: Task, first: u32, step: u32) -> Sums {
  var sums = Sums();
  var start = 0u;
  var units = uniform_params().row_blocks * ROW_UNITS;
#ifdef SPLIT_K
  // The last spans may be shorter than the others, or nothing.
  let split_k = uniform_params().split_k;
  let slice_units = (units + split_k - 1u) / split_k;
  start = task.slice * slice_units;
  units = min(start + slice_units, units);
#endif
#ifdef EXPERT_BATCHES
  // A bundle of none has nothing to add.
  units = select(0u, units, slots[task.vector] < params.batch);
#endif
  var at = first_x(task, start + first);
  for (var i = start + first; i < units; i += step) {
    sums = add_unit(sums, task, i / ROW_UNITS, i % ROW_UNITS, at);
    at = next_x(at, task, i + step, step);
  }
  return sums;
}

fn store_one(task: Task, column: u32, i: u32, sum: f32) {
  let row = task.row + i;
#ifdef EXPERT_BATCHES
  let vector = slots[column];
#else
  let vector = column;
#endif
  if (vector < params.batch && row < params.all_rows && task.shard_row + i < params.rows) {
#ifdef SPLIT_K
    y[(task.slice * params.batch + vector) * params.all_rows + row] = sum;
#else
#ifdef BIAS
    y[vector * params.all_rows + row] = sum + bias[row];
#else
    y[vector * params.all_rows + row] = sum;
#endif
#endif
  }
}

fn store_four(task: Task, vector: u32, i: u32, sums: vec4<f32>) {
  store_one(task, vector, i, sums.x);
  store_one(task, vector, i + 1u, sums.y);
#if ROWS > 2
  store_one(task, vector, i + 2u, sums.z);
  store_one(task, vector, i + 3u, sums.w);
#endif
}

#ifdef SHARED
// What each lane has of one vector's sums at a time.
var<workgroup> parts: array<vec4<f32>, WORKGROUP>;
#endif

// Stores one vector's sums, when the lanes that share the rows have added up theirs.
fn finish_four(task: Task, vector: u32, i: u32, sums: vec4<f32>, lane: u32) {
#ifdef SHARED
  workgroupBarrier();
  parts[lane] = sums;
  for (var lanes = LANES / 2u; lanes > 0u; lanes >>= 1u) {
    workgroupBarrier();
    if (lane % LANES < lanes) {
      parts[lane] = parts[lane] + parts[lane + lanes];
    }
  }
  if (lane % LANES == 0u) {
    store_four(task, vector, i, parts[lane]);
  }
#else
#ifdef SUBGROUP
  let sum = subgroupAdd(sums);
  if (lane == 0u) {
    store_four(task, vector, i, sum);
  }
#else
  store_four(task, vector, i, sums);
#endif
#endif
}

fn finish(task: Task, sums: Sums, lane: u32) {
  let v = task.vector;
  finish_four(task, v, 0u, sums.v0, lane);
#if COLUMNS > 1
  finish_four(task, v + 1u, 0u, sums.v1, lane);
  finish_four(task, v + 2u, 0u, sums.v2, lane);
  finish_four(task, v + 3u, 0u, sums.v3, lane);
#endif
#if COLUMNS > 4
  finish_four(task, v + 4u, 0u, sums.v4, lane);
  finish_four(task, v + 5u, 0u, sums.v5, lane);
  finish_four(task, v + 6u, 0u, sums.v6, lane);
  finish_four(task, v + 7u, 0u, sums.v7, lane);
#endif
#if ROWS > 4
  finish_four(task, v, 4u, sums.u0, lane);
#if COLUMNS > 1
  finish_four(task, v + 1u, 4u, sums.u1, lane);
  finish_four(task, v + 2u, 4u, sums.u2, lane);
  finish_four(task, v + 3u, 4u, sums.u3, lane);
#endif
#if COLUMNS > 4
  finish_four(task, v + 4u, 4u, sums.u4, lane);
  finish_four(task, v + 5u, 4u, sums.u5, lane);
  finish_four(task, v + 6u, 4u, sums.u6, lane);
  finish_four(task, v + 7u, 4u, sums.u7, lane);
#endif
#endif
}

#ifdef EXPERTS
// Beyond the rows of any buffer, and so are the next.
const NO_ROW = 0x80000000u;
#endif

// The rows of group `group`, for the vectors of this part of the dispatch.
fn task_of(group: u32, tile: u32) -> Task {
  let row = group * ROWS;
#ifdef EXPERTS
  // A row of y has its expert's rows of the matrix, all of them on this device but perhaps not bound here. A number before the first row wraps around and is
  // far beyond the last.
#ifdef EXPERT_BATCHES
  let assignment = slots[tile * COLUMNS];
#else
  let assignment = tile;
#endif
  let expert = experts[min(assignment, params.batch - 1u)];
  let shard_row = select(NO_ROW, expert * params.all_rows + row - params.first_row, expert < params.expert_count);
  return Task(tile * COLUMNS, row, shard_row, 0u);
#else
#ifdef SPLIT_K
  return Task(tile / params.split_k * COLUMNS, params.first_row + row, row, tile % params.split_k);
#else
  return Task(tile * COLUMNS, params.first_row + row, row, 0u);
#endif
#endif
}

#ifdef SUBGROUP
@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32, @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) lanes: u32,
  @builtin(local_invocation_index) index: u32) {
  read_params();
#ifdef PAIR_TABLE
  fill_pair_table(index);
#endif
  // Subgroups have any size, and so a workgroup any number of them.
  for (var i = (group.y * groups.x + group.x) * subgroups + subgroup; i < params.count; i += groups.x * groups.y * subgroups) {
    let task = task_of(i, group.z);
    finish(task, add_units(task, lane, lanes), lane);
  }
}
#else
@compute @workgroup_size(WORKGROUP)
fn main(
#ifdef BROADCAST_X
  @builtin(subgroup_invocation_id) of_subgroup: u32,
#endif
  @builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  read_params();
#ifdef BROADCAST_X
  subgroup_lane = of_subgroup;
#endif
#ifdef PAIR_TABLE
  fill_pair_table(lane);
#endif
  let i = invocation(group, lane) / LANES;
  let task = task_of(i, group.z);
#ifdef SHARED
  // All lanes meet at the barriers, those without rows too.
  let first = select(lane % LANES, params.row_blocks * ROW_UNITS, i >= params.count);
  finish(task, add_units(task, first, LANES), lane);
#else
  // Lanes without rows multiply too, for what others get from them.
  let sums = add_units(task, 0u, 1u);
  if (i < params.count) {
    finish(task, sums, lane);
  }
#endif
}
#endif
