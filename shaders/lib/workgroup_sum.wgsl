// The sum over all lanes of a workgroup, of which there are a multiple of 64. All lanes must call this.
//
// A sixteenth of the lanes add first. Sums of four are written out: in a loop, each iteration would wait for
// its read.

const ADDERS = LANES / 16u;

var<workgroup> parts: array<f32, LANES>;
var<workgroup> sums: array<f32, ADDERS>;

fn four_parts(i: u32) -> f32 {
  return parts[i] + parts[i + ADDERS] + (parts[i + 2u * ADDERS] + parts[i + 3u * ADDERS]);
}

fn workgroup_sum(lane: u32, part: f32) -> f32 {
  parts[lane] = part;
  workgroupBarrier();
  if (lane < ADDERS) {
    sums[lane] = four_parts(lane) + four_parts(lane + 4u * ADDERS)
      + (four_parts(lane + 8u * ADDERS) + four_parts(lane + 12u * ADDERS));
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < ADDERS; i += 4u) {
    sum += sums[i] + sums[i + 1u] + (sums[i + 2u] + sums[i + 3u]);
  }
  // The next call may overwrite the parts.
  workgroupBarrier();
  return sum;
}
