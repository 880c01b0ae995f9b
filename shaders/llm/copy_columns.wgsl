// Copies rows of LENGTH floats into longer rows of STRIDE, from column START on. An invocation copies one
// float; a row of workgroups a token.

@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> rows: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < LENGTH) {
    rows[id.y * STRIDE + START + id.x] = source[id.y * LENGTH + id.x];
  }
}
