// Converts int8 activations to f16 for the matrix units (matmul/matmul_cooperative.wgsl). A workgroup
// converts a vector.
//
// f16 ends at 65504 and loses bits below 2^-14, so each vector is divided by a power of two of its own, with
// which its largest possible magnitude is at least 2^14 and below 2^15. The scales of its blocks give that
// magnitude.

struct Params {
  count: u32,           // invocations with work
  zero: u32,            // 0, which no compiler may know: see opaque in lib/exact.wgsl
  groups_per_row: u32,  // workgroups in one row of the dispatch
  cols: u32,            // numbers of a vector
  batch: u32,           // vectors
}

#import lib/invocation.wgsl
#import matmul/activations.wgsl
#import matmul/f16_scaling.wgsl

// Vector by vector, eight f16 in a vec4: of each four the first, the third, the second and the last. Then a
// vec4 for each vector, whose first word is the bits of the largest magnitude.
@group(0) @binding(4) var<storage, read_write> f16s: array<vec4<u32>>;

alias Partial = f32;
fn combine(a: f32, b: f32) -> f32 { return max(a, b); }
const SHARERS = WORKGROUP;
#import lib/reduce.wgsl

fn pair(a: f32, b: f32) -> u32 { return pack2x16float(vec2<f32>(a, b)); }

// Eight f16 from two words of four bytes.
fn eight_f16s(a: u32, b: u32, scale: f32) -> vec4<u32> {
  let low = vec4<f32>(unpack4xI8(a)) * scale;
  let high = vec4<f32>(unpack4xI8(b)) * scale;
  return vec4<u32>(pair(low.x, low.z), pair(low.y, low.w), pair(high.x, high.z), pair(high.y, high.w));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let vector = group.y * params.groups_per_row + group.x;
  let parts = params.cols / 32u;
  // Beyond the last vector, this computes the last one again.
  var scale = 0.0;
  for (var part = lane; part < parts; part += WORKGROUP) {
    scale = max(scale, activations(vector, part).scale);
  }
  reduce(lane, scale);
  workgroupBarrier();
  let size = bitcast<u32>(127.0 * partials[0]);
  if (vector >= params.batch) {
    return;
  }
  for (var part = lane; part < parts; part += WORKGROUP) {
    let x = activations(vector, part);
    let by = down(size) * x.scale;
    let at = 4u * (vector * parts + part);
    f16s[at] = eight_f16s(x.a.x, x.a.y, by);
    f16s[at + 1u] = eight_f16s(x.a.z, x.a.w, by);
    f16s[at + 2u] = eight_f16s(x.b.x, x.b.y, by);
    f16s[at + 3u] = eight_f16s(x.b.z, x.b.w, by);
  }
  if (lane == 0u) {
    f16s[scale_at(vector)] = vec4<u32>(size, 0u, 0u, 0u);
  }
}
