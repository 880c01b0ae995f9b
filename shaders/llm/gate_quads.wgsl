// What gate.wgsl does, and in eight bits too. An invocation does a quad; LENGTH is whole blocks, else products take no bytes.

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
    let gate = gates[id.y * (STRIDE / 4u) + id.x];
    x = up * vec4<f32>(activated(gate.x), activated(gate.y), activated(gate.z), activated(gate.w));
    gated[at] = x;
  }
  store_eighth(lane, at, x, is_there);
}
