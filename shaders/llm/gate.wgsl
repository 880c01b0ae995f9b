// gated = activation(gate)·up. An invocation does one float; a row of workgroups does a token.
//
// Without experts, the ups of a token follow its gates, and both bindings are one buffer.

@group(0) @binding(1) var<storage, read> gates: array<f32>;
@group(0) @binding(2) var<storage, read> ups: array<f32>;
@group(0) @binding(3) var<storage, read_write> gated: array<f32>;

fn silu(x: f32) -> f32 { return x / (1.0 + exp(min(-x, 80.0))); }

// From 10 on, tanh is 1 in f32; an implementation may overflow.
fn gelu(x: f32) -> f32 { return 0.5 * x * (1.0 + tanh(clamp(0.7978846 * x * (1.0 + 0.044715 * x * x), -10.0, 10.0))); }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < LENGTH) {
    let gate = gates[id.y * STRIDE + id.x];
    let up = ups[id.y * STRIDE + UP + id.x];
    if (GELU) {
      gated[id.y * LENGTH + id.x] = gelu(gate) * up;
    } else {
      gated[id.y * LENGTH + id.x] = silu(gate) * up;
    }
  }
}
