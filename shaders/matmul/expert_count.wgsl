// Counts the picks of each expert, and empties the bundles: picks of one expert that are multiplied together. A slot or an expert an invocation.

#import matmul/expert_assignments.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.slots) {
    slots[i] = NO_ASSIGNMENT;
  }
  if (i < params.expert_count) {
    var count = 0u;
    for (var assignment = 0u; assignment < params.assignments; assignment++) {
      count += select(0u, 1u, experts[assignment] == i);
    }
    slots[params.slots + i] = count;
  }
}
