// Encodes weights, second of two passes: writes blocks from the scales of their sub-blocks. An invocation
// writes one of the PARTS parts of a block.

#import lib/params.wgsl
#import lib/source.wgsl
#import lib/encoded.wgsl
#import lib/exact.wgsl

// The results of the first pass, one for each sub-block.
@group(0) @binding(4) var<storage, read> scratch: array<vec4<u32>>;

#import format

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.count) {
    pack(i / PARTS, i % PARTS);
  }
}
