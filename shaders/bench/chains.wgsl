// Measures arithmetic: an invocation computes CHAINS independent chains of 8·ROUNDS steps. Each step of a
// chain takes the result of the step before.

// Defines `Value` and `step`.
#import step

// Operands that no compiler knows: the factor, the summand, and where each chain of each lane starts.
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let m = bitcast<Value>(source[0]);
  let c = bitcast<Value>(source[1]);
#repeat i CHAINS
  var v$i = bitcast<Value>(source[2u + 8u * lane + $iu]);
#end
  for (var round = 0u; round < ROUNDS; round++) {
#repeat i CHAINS
#repeat j 8
    v$i = step(v$i, m, c);
#end
#end
  }
  var sum = v0;
#repeat i 1 CHAINS
  sum += v$i;
#end
  result[group.x * WORKGROUP + lane] = bitcast<vec4<u32>>(sum);
}
