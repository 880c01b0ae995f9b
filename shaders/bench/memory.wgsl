// Measures memory: reads quads and adds them up, so that no read can be dropped; with COPY, copies them; with
// WRITE, writes others.
//
// An invocation takes RUN quads, STEP apart. The first is at the offset of its workgroup (GROUP_STEP) plus
// its own (LANE_STEP).

// Defines `source`.
#import source

@group(0) @binding(1) var<storage, read_write> result: array<vec4<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * GROUP_STEP + lane * LANE_STEP;
#if COPY == 1
  for (var i = 0u; i < RUN; i += 8u) {
    let at = first + i * STEP;
#repeat j 8
    result[at + $ju * STEP] = source(at + $ju * STEP);
#end
  }
#else
#if WRITE == 1
  for (var i = 0u; i < RUN; i += 8u) {
    let at = first + i * STEP;
#repeat j 8
    result[at + $ju * STEP] = vec4<u32>(at);
#end
  }
#else
  var even = vec4<u32>();
  var odd = vec4<u32>();
  for (var i = 0u; i < RUN; i += 8u) {
    let at = first + i * STEP;
#repeat j 4
    even += source(at + 2u * $ju * STEP);
    odd += source(at + (2u * $ju + 1u) * STEP);
#end
  }
  result[group.x * WORKGROUP + lane] = even + odd;
#endif
#endif
}
