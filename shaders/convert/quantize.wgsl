// Encodes weights in one pass. An invocation encodes a block.

#import lib/params.wgsl
#import lib/source.wgsl
#import lib/encoded.wgsl
#import lib/exact.wgsl
#import format

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let block = invocation(group, lane);
  if (block < params.count) {
    quantize(block);
  }
}
