// branch = the sum of the outputs of a token's TOP_K experts, times their weights. An invocation computes one
// float; a row of workgroups a token.

@group(0) @binding(1) var<storage, read> outputs: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> branch: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < LENGTH) {
    var sum = 0.0;
    for (var i = id.y * TOP_K; i < (id.y + 1u) * TOP_K; i++) {
      sum += weights[i] * outputs[i * LENGTH + id.x];
    }
    branch[id.y * LENGTH + id.x] = sum;
  }
}
