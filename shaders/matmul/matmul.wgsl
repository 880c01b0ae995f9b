// y = x·Wᵀ in tiles of 64 rows of W and 64 vectors: a workgroup of 128 decodes a few columns of the tile into workgroup memory, where each lane multiplies 8 rows
// by 4 vectors. For many vectors on a GPU.
//
// A lane's rows are 8 apart and its vectors 16, so that neighbours read neighbouring words of workgroup memory.
//
// With SPLIT_K, a workgroup has a span of the columns, of several that lie side by side in the dispatch; y is then the sums of each span, which matmul_sum.wgsl adds.

#import matmul/product.wgsl

const TILE = 64u;

// The first block of row `i` of those that are bound; of the last where there is none.
fn row_start(i: u32) -> u32 { return first_block(min(i, params.rows - 1u)); }

#ifdef INT8
#import matmul/tile_int8.wgsl
#else
#import matmul/tile_exact.wgsl
#endif

fn store_one(slice: u32, row: u32, vector: u32, sum: f32) {
  if (row < params.rows && vector < params.batch) {
    let at = params.first_row + row;
#ifdef SPLIT_K
    y[(slice * params.batch + vector) * params.all_rows + at] = sum;
#else
#ifdef BIAS
    y[vector * params.all_rows + at] = sum + bias[at];
#else
    y[vector * params.all_rows + at] = sum;
#endif
#endif
  }
}

// Stores a row's sums with four vectors.
fn store_four(slice: u32, row: u32, vector: u32, sums: vec4<f32>) {
  store_one(slice, row, vector, sums.x);
  store_one(slice, row, vector + 16u, sums.y);
  store_one(slice, row, vector + 32u, sums.z);
  store_one(slice, row, vector + 48u, sums.w);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  read_params();
  let row = (group.y * params.groups_per_row + group.x) * TILE;
#ifdef SPLIT_K
  let slice = group.z % uniform_params().split_k;
  let vector = group.z / uniform_params().split_k * TILE;
#else
  let slice = 0u;
  let vector = group.z * TILE;
#endif
  let vector_lane = lane % 16u;
  let row_lane = lane / 16u;
  var s0 = vec4<f32>();
  var s1 = vec4<f32>();
  var s2 = vec4<f32>();
  var s3 = vec4<f32>();
  var s4 = vec4<f32>();
  var s5 = vec4<f32>();
  var s6 = vec4<f32>();
  var s7 = vec4<f32>();
  var first_step = 0u;
  var steps = step_count();
#ifdef SPLIT_K
  // The last spans may be shorter than the others, or nothing.
  let split_k = uniform_params().split_k;
  let slice_steps = (steps + split_k - 1u) / split_k;
  first_step = slice * slice_steps;
  steps = min(first_step + slice_steps, steps);
#endif
  for (var step = first_step; step < steps; step++) {
    load(row, vector, step, lane);
    workgroupBarrier();
    for (var i = 0u; i < STEP_PARTS; i++) {
      let x = vectors(i, vector_lane);
      s0 = add_row(s0, i, row_lane, x);
      s1 = add_row(s1, i, row_lane + 8u, x);
      s2 = add_row(s2, i, row_lane + 16u, x);
      s3 = add_row(s3, i, row_lane + 24u, x);
      s4 = add_row(s4, i, row_lane + 32u, x);
      s5 = add_row(s5, i, row_lane + 40u, x);
      s6 = add_row(s6, i, row_lane + 48u, x);
      s7 = add_row(s7, i, row_lane + 56u, x);
    }
    workgroupBarrier();
  }
  store_four(slice, row + row_lane, vector + vector_lane, s0);
  store_four(slice, row + row_lane + 8u, vector + vector_lane, s1);
  store_four(slice, row + row_lane + 16u, vector + vector_lane, s2);
  store_four(slice, row + row_lane + 24u, vector + vector_lane, s3);
  store_four(slice, row + row_lane + 32u, vector + vector_lane, s4);
  store_four(slice, row + row_lane + 40u, vector + vector_lane, s5);
  store_four(slice, row + row_lane + 48u, vector + vector_lane, s6);
  store_four(slice, row + row_lane + 56u, vector + vector_lane, s7);
}
