// y = x·Wᵀ in tiles of 64 rows of W and 64 vectors, for many vectors on a GPU. A workgroup of 128 lanes
// computes a tile: it decodes a few columns of the tile at a time into workgroup memory, where each lane
// multiplies 8 rows by 4 vectors.
//
// The rows of a lane are 8 apart and its vectors 16, so that neighbours read neighbouring words of workgroup
// memory.
//
// With SPLIT_K, a workgroup computes a slice of the columns. The slices are consecutive in the dispatch, and
// y has the products of each slice, which matmul/split_k_sum.wgsl adds.

#import matmul/product.wgsl
#import matmul/tile.wgsl

const TILE = 64u;

#ifdef INT8
#import matmul/tile_int8.wgsl
#else
#import matmul/tile_exact.wgsl
#endif

// Stores the sums of a row for four vectors.
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
#repeat i 8
  var s$i = vec4<f32>();
#end
  var first_step = 0u;
  var steps = step_count();
#ifdef SPLIT_K
  // The last slices may be shorter than the others, or empty.
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
#repeat j 8
      s$j = add_row(s$j, i, row_lane + 8u * $ju, x);
#end
    }
    workgroupBarrier();
  }
#repeat i 8
  store_four(slice, row + row_lane + 8u * $iu, vector + vector_lane, s$i);
#end
}
