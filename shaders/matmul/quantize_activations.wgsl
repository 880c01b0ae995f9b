// Converts vectors of f32, or with F16_X of f16, to int8 blocks. An invocation converts a block of 32
// numbers.

#import lib/params.wgsl
#import lib/int8_layout.wgsl
#import lib/int8_block.wgsl

#ifdef F16_X
#import lib/f16_value.wgsl
@group(0) @binding(1) var<storage, read> x: array<vec2<u32>>;
fn quad(i: u32) -> vec4<f32> { return vec4<f32>(f16_values(x[i].x), f16_values(x[i].y)); }
#else
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
fn quad(i: u32) -> vec4<f32> { return x[i]; }
#endif
@group(0) @binding(2) var<storage, read_write> blocks: array<vec4<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.count) {
    let at = 8u * i;
    let block = int8_block(
#repeat j 8
      quad(at + $ju),
#end
    );
    let result = int8_block_at(i);
    blocks[result] = block.a;
    blocks[result + INT8_B] = block.b;
    blocks[result + INT8_HEAD] = block.head;
  }
}
