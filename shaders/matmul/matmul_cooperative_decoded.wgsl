// y = x·Wᵀ in tiles, by the matrix units of a GPU, for many vectors: matmul_cooperative.wgsl with weights
// that matmul/f16_weights.wgsl has decoded, so that the loop has nothing but loads and multiplications. A
// workgroup computes a tile of 8 x 8 matrices of sums. A subgroup has 4 x MATRICES_BESIDE of them.
//
// In each step, the workgroup copies 32 columns of its rows and vectors to workgroup memory, which holds two
// steps in turn. The columns of the next step are loaded meanwhile.
//
// With SURPLUS_SUBGROUPS, subgroups may be smaller than the largest, and a workgroup then has more of them;
// the additional ones only load. (A loop of one round says so, because naga does not take a condition on the
// subgroup for uniform. Mesa's compiler for NVIDIA spills registers in such a loop.)
//
// With SPLIT_K, a workgroup computes a slice of the columns. The slices are consecutive in the dispatch, and
// y has the products of each slice, which matmul/split_k_sum.wgsl adds.

enable f16;
enable wgpu_cooperative_matrix;

struct Params {
  count: u32,           // workgroups
  zero: u32,            // 0, which no compiler may know: see opaque in lib/exact.wgsl
  groups_per_row: u32,  // workgroups in one row of the dispatch
  rows: u32,            // decoded rows
  start_row: u32,       // the first of them among the rows of the shard
  first_row: u32,       // its row of the result
  all_rows: u32,        // rows of the result
  cols: u32,            // weights in a row
  batch: u32,           // vectors
  split_k: u32,         // slices that the columns of a row are divided into
}

#import lib/invocation.wgsl
#import matmul/result.wgsl
#import matmul/f16_scaling.wgsl
#import matmul/matrix_units.wgsl

// The result of matmul/f16_weights.wgsl.
@group(0) @binding(1) var<storage, read> weights: array<Eight>;
// The result of matmul/f16_activations.wgsl: the vectors in f16, and behind them, in the same buffer, their
// scales.
@group(0) @binding(3) var<storage, read> x: array<Eight>;
@group(0) @binding(8) var<storage, read> x_scales: array<vec4<u32>>;
// The result of matmul/row_scales.wgsl.
@group(0) @binding(7) var<storage, read> row_scales: array<u32>;

// The rows of a tile, and its vectors.
const TILE = 8u * SIDE;
// Two subgroups have all of its rows, SUBGROUPS_BESIDE all of its vectors.
const SUBGROUPS_BESIDE = 8u / MATRICES_BESIDE;
const SUBGROUPS = 2u * SUBGROUPS_BESIDE;
// Columns in a step.
const STEP = 32u;
const STEP_EIGHTS = STEP / 8u;
const TILE_EIGHTS = TILE * STEP_EIGHTS;
// The distance from a row, or a vector, to the next in workgroup memory: a few columns more than a step, so
// that neighbours start in different banks.
const STRIDE = STEP + 8u;

// Two steps each.
var<workgroup> row_numbers: array<Stored, 2u * TILE * STRIDE / EACH>;
var<workgroup> vector_numbers: array<Stored, 2u * TILE * STRIDE / EACH>;
// A matrix of sums of each subgroup, vector by vector.
var<workgroup> sums: array<f32, SUBGROUPS * SIDE * SIDE>;

#ifdef QUADS
fn store_row_quad(at: u32, quad: vec4<f16>) { row_numbers[at / 4u] = quad; }
fn store_vector_quad(at: u32, quad: vec4<f16>) { vector_numbers[at / 4u] = quad; }
#else
fn store_row_quad(at: u32, quad: vec4<f16>) {
#repeat i 4
  row_numbers[at + $iu] = quad[$i];
#end
}

fn store_vector_quad(at: u32, quad: vec4<f16>) {
#repeat i 4
  vector_numbers[at + $iu] = quad[$i];
#end
}
#endif

// Stores eight `i` of a step, of a row and of a vector. `stage` is where the step begins.
fn store_eights(stage: u32, i: u32, w: Eight, x: Eight) {
  if (i < TILE_EIGHTS) {
    let at = stage + i / STEP_EIGHTS * STRIDE + 8u * (i % STEP_EIGHTS);
    store_row_quad(at, w.a);
    store_row_quad(at + 4u, w.b);
    store_vector_quad(at, x.a);
    store_vector_quad(at + 4u, x.b);
  }
}

// The index of eight `i` of step 0 in rows of `params.cols` numbers, of which there are `count`; beyond the
// last row, of that row again.
fn eight_at(first: u32, count: u32, i: u32) -> u32 {
  return min(first + i / STEP_EIGHTS, count - 1u) * (params.cols / 8u) + i % STEP_EIGHTS;
}

// The first row, and the first vector, of a subgroup within its tile.
fn first_row(subgroup: u32) -> u32 { return 4u * (subgroup / SUBGROUPS_BESIDE) * SIDE; }
fn first_vector(subgroup: u32) -> u32 { return MATRICES_BESIDE * (subgroup % SUBGROUPS_BESIDE) * SIDE; }

// Stores to y what the subgroups have stored in `sums`: their matrix (`below`, `beside`).
fn store(slice: u32, row: u32, vector: u32, below: u32, beside: u32, lane: u32) {
  workgroupBarrier();
  for (var i = lane; i < SUBGROUPS * SIDE * SIDE; i += WORKGROUP) {
    let subgroup = i / (SIDE * SIDE);
    let m = row + first_row(subgroup) + below * SIDE + i % SIDE;
    let n = vector + first_vector(subgroup) + beside * SIDE + i / SIDE % SIDE;
    if (m < params.rows && n < params.batch) {
      let by = up(row_scales[params.start_row + m]);
      store_y(slice, n, params.first_row + m, sums[i] * by * up(x_scales[scale_at(n)].x));
    }
  }
  workgroupBarrier();
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32) {
  let row = (group.y * params.groups_per_row + group.x) * TILE;
  var slice = 0u;
  var vector = group.z * TILE;
  var first = 0u;
  let last = params.cols / STEP - 1u;
  var steps = last + 1u;
#ifdef SPLIT_K
  // The last slices may be shorter than the others, or empty.
  slice = group.z % params.split_k;
  vector = group.z / params.split_k * TILE;
  let slice_steps = (steps + params.split_k - 1u) / params.split_k;
  first = slice * slice_steps;
  steps = min(first + slice_steps, steps);
#endif
#repeat m 4
#repeat n MATRICES_BESIDE
  var s$m$n = Sums();
#end
#end
#repeat i ITEMS
  let i$i = lane + $iu * WORKGROUP;
  let w_at$i = eight_at(row, params.rows, i$i);
  let x_at$i = eight_at(vector, params.batch, i$i);
  var w$i = weights[w_at$i + min(first, last) * STEP_EIGHTS];
  var x$i = x[x_at$i + min(first, last) * STEP_EIGHTS];
#end
  for (var step = first; step < steps; step++) {
    // Who stores has passed the barrier of the step before, so nobody reads this stage any more.
    let stage = step % 2u * (TILE * STRIDE);
#repeat i ITEMS
    store_eights(stage, i$i, w$i, x$i);
#end
    workgroupBarrier();
    let next = min(step + 1u, last) * STEP_EIGHTS;
#repeat i ITEMS
    w$i = weights[w_at$i + next];
    x$i = x[x_at$i + next];
#end
#ifdef SURPLUS_SUBGROUPS
    for (var i = subgroup; i < SUBGROUPS; i += SUBGROUPS) {
#else
    {
      let i = subgroup;
#endif
      let rows_at = stage + first_row(i) * STRIDE;
      let vectors_at = stage + first_vector(i) * STRIDE;
      for (var k = 0u; k < STEP; k += SIDE) {
#repeat m 4
        let r$m = coopLoadT<Rows>(&row_numbers[(rows_at + $mu * SIDE * STRIDE + k) / EACH], STRIDE / EACH);
#end
#repeat n MATRICES_BESIDE
        let v$n = coopLoad<Vectors>(
          &vector_numbers[(vectors_at + $nu * SIDE * STRIDE + k) / EACH], STRIDE / EACH);
#repeat m 4
        s$m$n = coopMultiplyAdd(r$m, v$n, s$m$n);
#end
#end
      }
    }
  }
  let sums_at = subgroup % SUBGROUPS * SIDE * SIDE;
#repeat m 4
#repeat n MATRICES_BESIDE
#ifdef SURPLUS_SUBGROUPS
  for (var i = subgroup; i < SUBGROUPS; i += SUBGROUPS) { coopStore(s$m$n, &sums[sums_at], SIDE); }
#else
  coopStore(s$m$n, &sums[sums_at], SIDE);
#endif
  store(slice, row, vector, $mu, $nu, lane);
#end
#end
}
