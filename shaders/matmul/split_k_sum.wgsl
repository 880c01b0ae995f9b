// Adds the products of the slices of columns (SPLIT_K) that other kernels computed, always in the same order.
// An invocation computes a number of y.
//
// Longest path of additions: the slices.

struct Params {
  count: u32,           // invocations with work
  zero: u32,            // 0, which no compiler may know: see opaque in lib/exact.wgsl
  groups_per_row: u32,  // workgroups in one row of the dispatch
  all_rows: u32,        // rows of the matrix
  split_k: u32,         // slices of the columns
}

#import lib/invocation.wgsl

// y of the first slice, then that of the second, …
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#ifdef BIAS
@group(0) @binding(3) var<storage, read> bias: array<f32>;
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.count) {
    var sum = sums[i];
    for (var slice = 1u; slice < params.split_k; slice++) {
      sum += sums[slice * params.count + i];
    }
#ifdef BIAS
    y[i] = sum + bias[i % params.all_rows];
#else
    y[i] = sum;
#endif
  }
}
