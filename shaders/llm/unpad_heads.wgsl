// Removes the zeros that pad each head of HEAD_FLOATS floats to HEAD. An invocation copies one float; a row
// of workgroups a token.

@group(0) @binding(1) var<storage, read> attended: array<f32>;
@group(0) @binding(2) var<storage, read_write> unpadded: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < LENGTH) {
    unpadded[id.y * LENGTH + id.x] =
      attended[(id.y * HEADS + id.x / HEAD_FLOATS) * HEAD + id.x % HEAD_FLOATS];
  }
}
