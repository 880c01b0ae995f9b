// What a lane computes of products of rows and vectors: the sums over its units of the rows.
//
// The kernel defines `row_start(task, i)`, the first block of row `i` of a task.

// The sums of four rows for each vector, and those of the next four rows.
struct Sums {
#repeat i 8
  v$i: vec4<f32>,
#end
#repeat i 8
  u$i: vec4<f32>,
#end
}

// What a lane computes.
struct Task {
  vector: u32,     // the first of its vectors
  row: u32,        // the first of its rows of y
  shard_row: u32,  // that row among the rows of the matrix that are bound here; it may not be among them
  slice: u32,      // the slice of the columns
}

#ifdef BROADCAST_X
// Each lane has rows of its own, and the eight lanes of a subgroup have the same vectors: a lane loads an
// eighth of them, and gets the rest from the other lanes.
var<private> subgroup_lane: u32;
#endif

#ifdef INT8
#import matmul/multiply_int8.wgsl
#else
#import matmul/multiply_exact.wgsl
#endif

// The sums of a lane over its units of a row: units first, first + step, … of the slice.
fn add_units(task: Task, first: u32, step: u32) -> Sums {
  var sums = Sums();
  var start = 0u;
  var units = uniform_params().row_blocks * ROW_UNITS;
#ifdef SPLIT_K
  // The last slices may be shorter than the others, or empty.
  let split_k = uniform_params().split_k;
  let slice_units = (units + split_k - 1u) / split_k;
  start = task.slice * slice_units;
  units = min(start + slice_units, units);
#endif
#ifdef EXPERT_BATCHES
  // An empty batch has nothing to add.
  units = select(0u, units, slots[task.vector] < params.batch);
#endif
  var at = first_x(task, start + first);
  for (var i = start + first; i < units; i += step) {
    sums = add_unit(sums, task, i / ROW_UNITS, i % ROW_UNITS, at);
    at = next_x(at, task, i + step, step);
  }
  return sums;
}
