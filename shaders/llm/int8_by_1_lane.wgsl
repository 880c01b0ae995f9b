// Stores 32 floats as int8, for products to take, as block `i`.

#import lib/int8_layout.wgsl
#import lib/int8_block.wgsl

@group(0) @binding(INT8_BINDING) var<storage, read_write> blocks: array<vec4<u32>>;

fn store_int8_by_1_lane(
  i: u32, x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>, x4: vec4<f32>, x5: vec4<f32>,
  x6: vec4<f32>, x7: vec4<f32>) {
  let block = int8_block(x0, x1, x2, x3, x4, x5, x6, x7);
  let at = int8_block_at(i);
  blocks[at] = block.a;
  blocks[at + INT8_B] = block.b;
  blocks[at + INT8_HEAD] = block.head;
}
