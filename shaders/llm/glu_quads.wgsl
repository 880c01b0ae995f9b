// glu.wgsl that stores the int8 form too. An invocation computes a quad; LENGTH is a multiple of 32, else
// products do not take int8.

#import lib/activation.wgsl
#import llm/int8_by_8_lanes.wgsl

@group(0) @binding(1) var<storage, read> gates: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> ups: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> gated: array<vec4<f32>>;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let is_there = id.x < LENGTH / 4u;
  let at = id.y * (LENGTH / 4u) + id.x;
  var x = vec4<f32>();
  if (is_there) {
    let up = ups[id.y * (STRIDE / 4u) + UP / 4u + id.x];
    x = up * activated_quad(gates[id.y * (STRIDE / 4u) + id.x]);
    gated[at] = x;
  }
  store_int8_by_8_lanes(lane, at, x, is_there);
}
