// Clears the bits of declined blocks, before a quantizer sets some. An invocation clears 32.

#import lib/params.wgsl

@group(0) @binding(3) var<storage, read_write> declined: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.count) {
    declined[i] = 0u;
  }
}
