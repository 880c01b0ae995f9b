// Converts every f16 to f32 by the device's own instruction, which shows whether it keeps subnormals. An
// invocation converts two.

@group(0) @binding(1) var<storage, read> f16s: array<u32>;
@group(0) @binding(2) var<storage, read_write> values: array<vec2<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&f16s)) {
    values[id.x] = unpack2x16float(f16s[id.x]);
  }
}
