// How fast a device reads, or copies: each invocation takes RUN quads, which begin at its group's and its own offset
// and lie STEP apart. The quads are added up, so that they have to be read.

#import source

@group(0) @binding(1) var<storage, read_write> result: array<vec4<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * GROUP_STEP + lane * LANE_STEP;
  var a = vec4<u32>();
  var b = vec4<u32>();
  for (var i = 0u; i < RUN; i += 8u) {
    let at = first + i * STEP;
    if (COPY == 1u) {
      result[at] = source(at);
      result[at + STEP] = source(at + STEP);
      result[at + 2u * STEP] = source(at + 2u * STEP);
      result[at + 3u * STEP] = source(at + 3u * STEP);
      result[at + 4u * STEP] = source(at + 4u * STEP);
      result[at + 5u * STEP] = source(at + 5u * STEP);
      result[at + 6u * STEP] = source(at + 6u * STEP);
      result[at + 7u * STEP] = source(at + 7u * STEP);
    } else {
      a += source(at);
      b += source(at + STEP);
      a += source(at + 2u * STEP);
      b += source(at + 3u * STEP);
      a += source(at + 4u * STEP);
      b += source(at + 5u * STEP);
      a += source(at + 6u * STEP);
      b += source(at + 7u * STEP);
    }
  }
  if (COPY == 0u) {
    result[group.x * WORKGROUP + lane] = a + b;
  }
}
