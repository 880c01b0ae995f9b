// The sum of what all lanes of a workgroup have; a sixteenth of them add up first. All lanes must come here.

const ADDERS = LANES / 16u;

var<workgroup> parts: array<f32, LANES>;
var<workgroup> sums: array<f32, ADDERS>;

fn sum_of_lanes(lane: u32, part: f32) -> f32 {
  parts[lane] = part;
  workgroupBarrier();
  if (lane < ADDERS) {
    var sum = 0.0;
    for (var i = lane; i < LANES; i += ADDERS) {
      sum += parts[i];
    }
    sums[lane] = sum;
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < ADDERS; i++) {
    sum += sums[i];
  }
  // What comes next may write the parts again.
  workgroupBarrier();
  return sum;
}
