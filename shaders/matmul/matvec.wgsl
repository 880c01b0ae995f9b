// y = x·Wᵀ: COLUMNS vectors times ROWS (2, 4 or 8) rows of W, by one lane, or by several lanes that share the
// rows.
//
// Each weight is read and decoded once for all vectors. The lanes divide the units of a row among them, so
// that neighbours read neighbouring memory. Then they add up their sums: in workgroup memory (SHARED), by
// subgroup operations (SUBGROUP), or not at all where one lane has its rows to itself (THREAD_PER_ROW, for
// software adapters). A unit is what a format fetches at once: parts of 32 weights as codes, or a vec4 of
// floats.
//
// With SPLIT_K, a lane's task is a slice of the columns. The slices are consecutive in the dispatch, and y
// has the products of each slice, which matmul/split_k_sum.wgsl adds.
//
// Longest path of additions: a lane's weights of a row, then log2 of the number of lanes.

#import matmul/product.wgsl
#import matmul/add_units.wgsl
#ifdef EXPERTS
// The expert of each row of y.
@group(0) @binding(7) var<storage, read> experts: array<u32>;
#endif
#ifdef EXPERT_BATCHES
// Rows of y in batches of the same expert, COLUMNS in a batch; empty slots have NO_ASSIGNMENT
// (matmul/expert_assignments.wgsl).
@group(0) @binding(8) var<storage, read> slots: array<u32>;
#endif

// The first block of row `i` of a task; of row 0 where the row is not bound here.
fn row_start(task: Task, i: u32) -> u32 {
  let row = task.shard_row + i;
  return first_block(select(0u, row, row < params.rows));
}

fn store_one(task: Task, column: u32, i: u32, sum: f32) {
  let row = task.row + i;
#ifdef EXPERT_BATCHES
  let vector = slots[column];
#else
  let vector = column;
#endif
  if (vector < params.batch && row < params.all_rows && task.shard_row + i < params.rows) {
    store_y(task.slice, vector, row, sum);
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
alias Partial = vec4<f32>;
fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return a + b; }
const SHARERS = LANES;
#import lib/reduce.wgsl
#endif

// Adds up the sums of the lanes that share rows `i` to `i` + 3, and stores them, for one vector.
fn finish_four(task: Task, vector: u32, i: u32, sums: vec4<f32>, lane: u32) {
#ifdef SHARED
  reduce(lane, sums);
  if (lane % LANES == 0u) {
    store_four(task, vector, i, partials[lane]);
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
  let vector = task.vector;
#repeat i COLUMNS
  finish_four(task, vector + $iu, 0u, sums.v$i, lane);
#end
#if ROWS > 4
#repeat i COLUMNS
  finish_four(task, vector + $iu, 4u, sums.u$i, lane);
#end
#endif
}

#ifdef EXPERTS
// Larger than the number of rows of any buffer, and so are the numbers after it.
const NO_ROW = 0x80000000u;
#endif

// The task for row group `group` and for the vectors (and slice) `tile`, which is the z of the dispatch.
fn task_of(group: u32, tile: u32) -> Task {
  let row = group * ROWS;
#ifdef EXPERTS
  // A row of y is computed from the rows of its expert, which may not all be bound here. A row before the
  // first one that is bound wraps around, to far beyond the last.
#ifdef EXPERT_BATCHES
  let assignment = slots[tile * COLUMNS];
#else
  let assignment = tile;
#endif
  let expert = experts[min(assignment, params.batch - 1u)];
  let expert_row = expert * params.all_rows + row - params.first_row;
  let shard_row = select(NO_ROW, expert_row, expert < params.expert_count);
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
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) lanes: u32,
  @builtin(local_invocation_index) index: u32) {
  read_params();
#ifdef PAIR_TABLE
  fill_pair_table(index);
#endif
  // Subgroups have any size, so a workgroup has any number of them.
  for (
    var i = (group.y * groups.x + group.x) * subgroups + subgroup;
    i < params.count;
    i += groups.x * groups.y * subgroups) {
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
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32) {
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
  // All lanes must reach the barriers, also those without rows.
  let first = select(lane % LANES, params.row_blocks * ROW_UNITS, i >= params.count);
  finish(task, add_units(task, first, LANES), lane);
#else
  // Lanes without rows multiply too: other lanes may need the vectors that they load.
  let sums = add_units(task, 0u, 1u);
  if (i < params.count) {
    finish(task, sums, lane);
  }
#endif
}
#endif
