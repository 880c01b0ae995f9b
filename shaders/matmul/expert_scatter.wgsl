// Puts each assignment into a slot of a batch: experts in their order, and the assignments of an expert in
// theirs, so that the slots are the same every time. An invocation has an assignment.

#import matmul/expert_assignments.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.assignments && experts[i] < params.expert_count) {
    let expert = experts[i];
    // The batches of an expert begin where those of the experts before it end.
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
