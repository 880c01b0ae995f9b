// The second of two passes that encode weights: from the scales of all its sub-blocks, a part of a block an invocation.

#import lib/params.wgsl
#import lib/source.wgsl
#import lib/encoded.wgsl
#import lib/exact.wgsl

// What the first pass found of each sub-block.
@group(0) @binding(4) var<storage, read> scratch: array<vec4<u32>>;

#import format

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.count) {
    pack(i / PARTS, i % PARTS);
  }
}
