// Marks each block that has a weight which is infinite, NaN or larger than 2^14. An invocation checks four
// weights.
//
// In every other block the scales of any format fit an f16. The host checks the marked blocks itself.

struct Params {
  count: u32,           // invocations with work
  zero: u32,            // 0, which no compiler may know: see opaque in lib/exact.wgsl
  groups_per_row: u32,  // workgroups in one row of the dispatch
  block_quads: u32,     // quads of a block
}

#import lib/invocation.wgsl
#import lib/source.wgsl
#import lib/exact.wgsl

@group(0) @binding(2) var<storage, read_write> marked: array<atomic<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quad = invocation(group, lane);
  if (quad < params.count && largest4(weight_bits(quad)) > 0x46800000u) {
    let block = quad / params.block_quads;
    atomicOr(&marked[block >> 5u], 1u << (block & 31u));
  }
}
