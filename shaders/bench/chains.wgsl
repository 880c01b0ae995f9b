// How fast a device computes: CHAINS independent chains of steps, each of which needs the one before.

// A `Value`, and a `step` of it.
#import step

// Operands that no compiler knows: the factor, the summand, and where each chain of each lane starts.
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<u32>>;

fn start(lane: u32, chain: u32) -> Value { return bitcast<Value>(source[2u + 8u * lane + chain]); }

fn steps(v: Value, m: Value, c: Value) -> Value {
  return step(step(step(step(step(step(step(step(v, m, c), m, c), m, c), m, c), m, c), m, c), m, c), m, c);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let m = bitcast<Value>(source[0]);
  let c = bitcast<Value>(source[1]);
  var v0 = start(lane, 0u);
  var v1 = start(lane, 1u);
  var v2 = start(lane, 2u);
  var v3 = start(lane, 3u);
  var v4 = start(lane, 4u);
  var v5 = start(lane, 5u);
  var v6 = start(lane, 6u);
  var v7 = start(lane, 7u);
  for (var i = 0u; i < ROUNDS; i++) {
    v0 = steps(v0, m, c);
    v1 = steps(v1, m, c);
    if (CHAINS > 2u) {
      v2 = steps(v2, m, c);
      v3 = steps(v3, m, c);
    }
    if (CHAINS > 4u) {
      v4 = steps(v4, m, c);
      v5 = steps(v5, m, c);
      v6 = steps(v6, m, c);
      v7 = steps(v7, m, c);
    }
  }
  result[group.x * WORKGROUP + lane] = bitcast<vec4<u32>>(v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7);
}
