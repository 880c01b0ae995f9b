// The sum of what all lanes of a workgroup have; a sixteenth of them add up first. All lanes must come here. There are 64, or some times as many.
//
// Sums of four are written out: in a loop, each turn would wait for what it reads.

const ADDERS = LANES / 16u;

var<workgroup> parts: array<f32, LANES>;
var<workgroup> sums: array<f32, ADDERS>;

fn four_parts(i: u32) -> f32 { return parts[i] + parts[i + ADDERS] + (parts[i + 2u * ADDERS] + parts[i + 3u * ADDERS]); }

fn sum_of_lanes(lane: u32, part: f32) -> f32 {
  parts[lane] = part;
  workgroupBarrier();
  if (lane < ADDERS) {
    sums[lane] = four_parts(lane) + four_parts(lane + 4u * ADDERS) + (four_parts(lane + 8u * ADDERS) + four_parts(lane + 12u * ADDERS));
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < ADDERS; i += 4u) {
    sum += sums[i] + sums[i + 1u] + (sums[i + 2u] + sums[i + 3u]);
  }
  // What comes next may write the parts again.
  workgroupBarrier();
  return sum;
}
