// Encodes weights, first of two passes: finds scales. An invocation finds that of a sub-block.

#import lib/params.wgsl
#import lib/source.wgsl
#import lib/exact.wgsl

// The result for each sub-block; the format defines what it holds.
@group(0) @binding(2) var<storage, read_write> scratch: array<vec4<u32>>;

#import format

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let sub_block = invocation(group, lane);
  if (sub_block < params.count) {
    search(sub_block);
  }
}
