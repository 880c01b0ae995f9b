// Puts each pick into a slot of a bundle: experts in their order, and the picks of one in theirs, so that it is the same every time. A pick an invocation.

#import lib/params.wgsl
#import lib/bundles.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, lane);
  if (i < params.picks && numbers[i] < params.experts) {
    let expert = numbers[i];
    // An expert's bundles begin where those of the experts before it end.
    var bundle = 0u;
    for (var other = 0u; other < expert; other++) {
      bundle += (bundles[params.slots + other] + params.columns - 1u) / params.columns;
    }
    var slot = bundle * params.columns;
    for (var pick = 0u; pick < i; pick++) {
      slot += select(0u, 1u, numbers[pick] == expert);
    }
    bundles[slot] = i;
  }
}
