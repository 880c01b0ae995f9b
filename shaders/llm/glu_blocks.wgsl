// glu.wgsl that stores the int8 form too, with a whole block of 32 floats for each invocation: for a software
// adapter, where a vector of lanes takes as long for one of them as for all.

#import lib/activation.wgsl
#import llm/int8_by_1_lane.wgsl

@group(0) @binding(1) var<storage, read> gates: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> ups: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> gated: array<vec4<f32>>;

// Quad `i` of a token.
fn gated_quad(token: u32, i: u32) -> vec4<f32> {
  let x = ups[token * (STRIDE / 4u) + UP / 4u + i] * activated_quad(gates[token * (STRIDE / 4u) + i]);
  gated[token * (LENGTH / 4u) + i] = x;
  return x;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let token = group.y;
  let i = group.x * LANES + lane;
  if (i < LENGTH / 32u) {
    store_int8_by_1_lane(
      token * (LENGTH / 32u) + i,
      gated_quad(token, 8u * i), gated_quad(token, 8u * i + 1u), gated_quad(token, 8u * i + 2u),
      gated_quad(token, 8u * i + 3u), gated_quad(token, 8u * i + 4u), gated_quad(token, 8u * i + 5u),
      gated_quad(token, 8u * i + 6u), gated_quad(token, 8u * i + 7u));
  }
}
