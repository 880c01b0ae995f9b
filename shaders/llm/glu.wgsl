// gated = activation(gate)·up. An invocation computes one float; a row of workgroups a token.
//
// Without experts, the ups of a token follow its gates, and both bindings are one buffer.

#import lib/activation.wgsl

@group(0) @binding(1) var<storage, read> gates: array<f32>;
@group(0) @binding(2) var<storage, read> ups: array<f32>;
@group(0) @binding(3) var<storage, read_write> gated: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < LENGTH) {
    gated[id.y * LENGTH + id.x] = ups[id.y * STRIDE + UP + id.x] * activated(gates[id.y * STRIDE + id.x]);
  }
}
