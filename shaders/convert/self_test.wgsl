// Computes the operations that exact results depend on, with operands from the host. An invocation takes a
// pair.

#import lib/params.wgsl
#import lib/exact.wgsl

@group(0) @binding(1) var<storage, read> operands: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> results: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.count) {
    let a = operands[i].x;
    let b = operands[i].y;
    results[5u * i] = a + b;
    results[5u * i + 1u] = a - b;
    results[5u * i + 2u] = a * b;
    results[5u * i + 3u] = divide(a, b);
    // Fused, this would be rounded once.
    results[5u * i + 4u] = mul(a, b) + a;
  }
}
