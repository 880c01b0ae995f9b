// What the host tells a kernel, and which invocation this is.

struct Params {
  count: u32,           // invocations with work
  zero: u32,            // 0, which no compiler may know: see opaque in lib/exact.wgsl
  groups_per_row: u32,  // workgroups in one row of the dispatch
}

@group(0) @binding(0) var<uniform> params: Params;

// The number of this invocation; work is what lies below params.count.
fn invocation(group: vec3<u32>, lane: u32) -> u32 {
  return (group.y * params.groups_per_row + group.x) * WORKGROUP + lane;
}
