// Adds up squares: of the errors of decoded weights, and of the weights. An invocation adds those of a group
// of 256 consecutive weights, of which the last may have fewer.
//
// src/cpu/error_sums.rs defines the order: weight i of a group is added to sum i mod 16, and sums are then
// added in halves. Sums are stored as f32, first that of the errors; as 0xffffffff twice where the CPU
// reference must add, which is a NaN.

struct Params {
  count: u32,           // groups
  zero: u32,            // 0, which no compiler may know: see opaque in lib/exact.wgsl
  groups_per_row: u32,  // workgroups in one row of the dispatch
  weights: u32,         // weights in all groups
}

#import lib/invocation.wgsl
#import lib/source.wgsl

@group(0) @binding(2) var<storage, read> blocks: array<u32>;

#import lib/decoder.wgsl
#import lib/declined.wgsl
#import format

@group(0) @binding(4) var<storage, read_write> sums: array<vec2<u32>>;

// The bits of 2^-63, whose square is the least normal f32. A lesser magnitude counts as 0.
const LEAST = 0x20000000u;

// The bits of 2^50. No sum of squares of less overflows. Infinity and NaN are not less.
const TOO_LARGE = 0x58800000u;

#ifdef SOURCE_F16
// `weight_bits` makes 2^16 and more of the infinity and NaN of f16.
const TOO_LARGE_WEIGHT = 0x47800000u;
#else
const TOO_LARGE_WEIGHT = TOO_LARGE;
#endif

// Four of the 16 sums of a group.
struct Sums {
  errors: vec4<f32>,
  squares: vec4<f32>,
  declined: bool,
}

// The numbers with these bits, or 0 for those that are too small to be squared.
fn without_least(bits: vec4<u32>) -> vec4<f32> {
  let least = (bits & vec4<u32>(0x7fffffffu)) < vec4<u32>(LEAST);
  return bitcast<vec4<f32>>(select(bits, vec4<u32>(0u), least));
}

fn with_quad(before: Sums, quad: u32) -> Sums {
  // What follows the last weight counts as zeros.
  let inside = vec4<u32>(4u * quad) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.weights);
  let at = min(quad, (params.weights - 1u) >> 2u);
  let block = at / BLOCK_QUADS;
  let weight = select(vec4<u32>(0u), weight_bits(at), inside);
  let decoded = select(vec4<u32>(0u), decode(block, at % BLOCK_QUADS), inside);
  let w = without_least(weight);
  let e = without_least(bitcast<vec4<u32>>(sub4(w, without_least(decoded))));
  let declined = is_declined(block) || largest4(weight) >= TOO_LARGE_WEIGHT || largest4(decoded) >= TOO_LARGE;
  return Sums(
    add4(before.errors, mul4(e, e)),
    add4(before.squares, mul4(w, w)),
    before.declined || declined);
}

// The bits of v0 + v1 + v2 + v3, all 16 of them, in halves. A sum of squares has no sign.
fn total16(v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> u32 {
  let v = add4(add4(v0, v2), add4(v1, v3));
  return bitcast<u32>(add(add(v.x, v.z), add(v.y, v.w))) & 0x7fffffffu;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let number = invocation(group, lane);
  if (number < params.count) {
    let none = Sums(vec4<f32>(0.0), vec4<f32>(0.0), false);
#repeat l 4
    var sums$l = none;
#end
    for (var i = 0u; i < 64u; i += 4u) {
      let quad = 64u * number + i;
#repeat l 4
      sums$l = with_quad(sums$l, quad + $lu);
#end
    }
    let errors = total16(sums0.errors, sums1.errors, sums2.errors, sums3.errors);
    let squares = total16(sums0.squares, sums1.squares, sums2.squares, sums3.squares);
    let declined = sums0.declined || sums1.declined || sums2.declined || sums3.declined;
    sums[number] = select(vec2<u32>(errors, squares), vec2<u32>(0xffffffffu), declined);
  }
}
