// Counts the picks of each expert, and empties the bundles: picks of one expert that are multiplied together. A slot or an expert an invocation.

#import lib/params.wgsl
#import lib/bundles.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.slots) {
    bundles[i] = NO_PICK;
  }
  if (i < params.experts) {
    var count = 0u;
    for (var pick = 0u; pick < params.picks; pick++) {
      count += select(0u, 1u, numbers[pick] == i);
    }
    bundles[params.slots + i] = count;
  }
}
