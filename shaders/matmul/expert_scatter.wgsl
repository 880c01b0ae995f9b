// Puts each pick into a slot of a bundle: experts in their order, and the picks of one in theirs, so that it is the same every time. A pick an invocation.

#import matmul/expert_assignments.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.assignments && experts[i] < params.expert_count) {
    let expert = experts[i];
    // An expert's bundles begin where those of the experts before it end.
    var batch = 0u;
    for (var other = 0u; other < expert; other++) {
      batch += (slots[params.slots + other] + params.columns - 1u) / params.columns;
    }
    var slot = batch * params.columns;
    for (var assignment = 0u; assignment < i; assignment++) {
      slot += select(0u, 1u, experts[assignment] == expert);
    }
    slots[slot] = i;
  }
}
