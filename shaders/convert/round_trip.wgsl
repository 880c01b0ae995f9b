// Decodes blocks into the weights that they were encoded from. An invocation decodes four weights. Those of
// declined blocks stay as they are.

#import lib/params.wgsl

@group(0) @binding(1) var<storage, read> blocks: array<u32>;

#import lib/decoder.wgsl
#import lib/decoded.wgsl
#import lib/declined.wgsl
#import format

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quad = invocation(group, lane);
  if (quad < params.count && !is_declined(quad / BLOCK_QUADS)) {
    store(quad, decode(quad / BLOCK_QUADS, quad % BLOCK_QUADS));
  }
}
