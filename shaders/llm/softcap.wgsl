// x = SOFTCAP·tanh(x / SOFTCAP). An invocation computes one float; a row of workgroups a token.

@group(0) @binding(1) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < LENGTH) {
    let i = id.y * LENGTH + id.x;
    // From 10 on, tanh is 1 in f32. Without the clamp, an implementation may overflow.
    x[i] = SOFTCAP * tanh(clamp(x[i] / SOFTCAP, -10.0, 10.0));
  }
}
