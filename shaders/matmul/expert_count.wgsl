// Counts the assignments of each expert, and empties all slots. An invocation has a slot, and an expert.

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
