// Leaves out the zeros that stand behind each head of HEAD_FLOATS floats to make it whole quads. An
// invocation does one float; a row of workgroups does a token.

@group(0) @binding(1) var<storage, read> attended: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < LENGTH) {
    packed[id.y * LENGTH + id.x] = attended[(id.y * HEADS + id.x / HEAD_FLOATS) * HEAD + id.x % HEAD_FLOATS];
  }
}
