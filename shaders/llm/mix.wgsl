// branch = the sum of what the USED experts of a token give, each by its share. An invocation does one float; a row of workgroups does a token.

@group(0) @binding(1) var<storage, read> experts: array<f32>;
@group(0) @binding(2) var<storage, read> shares: array<f32>;
@group(0) @binding(3) var<storage, read_write> branch: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < LENGTH) {
    var sum = 0.0;
    for (var pick = id.y * USED; pick < (id.y + 1u) * USED; pick++) {
      sum += shares[pick] * experts[pick * LENGTH + id.x];
    }
    branch[id.y * LENGTH + id.x] = sum;
  }
}
