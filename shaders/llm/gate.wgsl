// gated = activation(gate)·up, with INT8 in eight bits too. An invocation does one float; a row of workgroups does a token.
//
// Without experts, the ups of a token follow its gates, and both bindings are one buffer.

@group(0) @binding(1) var<storage, read> gates: array<f32>;
@group(0) @binding(2) var<storage, read> ups: array<f32>;
@group(0) @binding(3) var<storage, read_write> gated: array<f32>;

var<workgroup> floats: array<f32, LANES>;

fn quad(i: u32) -> vec4<f32> { return vec4<f32>(floats[i], floats[i + 1u], floats[i + 2u], floats[i + 3u]); }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * LANES;
  let i = first + lane;
  if (i < LENGTH) {
    let x = ups[group.y * STRIDE + UP + i] * activated(gates[group.y * STRIDE + i]);
    gated[group.y * LENGTH + i] = x;
    floats[lane] = x;
  }
  if (INT8) {
    workgroupBarrier();
    let at = 32u * lane;
    if (at < LANES && first + at < LENGTH) {
      store_block(
        (group.y * LENGTH + first + at) / 32u, quad(at), quad(at + 4u), quad(at + 8u), quad(at + 12u), quad(at + 16u), quad(at + 20u),
        quad(at + 24u), quad(at + 28u));
    }
  }
}
