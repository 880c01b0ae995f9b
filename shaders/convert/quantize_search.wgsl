// The first of two passes that encode weights: finds the scale of a sub-block an invocation.

#import lib/params.wgsl
#import lib/source.wgsl
#import lib/exact.wgsl

// What is found of each sub-block; the format decides what that is.
@group(0) @binding(2) var<storage, read_write> scratch: array<vec4<u32>>;

#import format

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let sub_block = invocation(group, lane);
  if (sub_block < params.count) {
    search(sub_block);
  }
}
