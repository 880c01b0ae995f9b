// f32 vectors in eight bits: a block of 32 an invocation.

#import lib/params.wgsl
#import lib/int8_block.wgsl

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> blocks: array<vec4<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.count) {
    let at = 8u * i;
    let block = int8_block(x[at], x[at + 1u], x[at + 2u], x[at + 3u], x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]);
    blocks[3u * i] = block.a;
    blocks[3u * i + 1u] = block.b;
    blocks[3u * i + 2u] = block.head;
  }
}
