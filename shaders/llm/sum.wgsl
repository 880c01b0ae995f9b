// The sum of what all lanes of a workgroup have; 16 of them add up first. All lanes must come here. There are 64, or some times as many.
//
// Sums of four are written out: in a loop, each turn would wait for what it reads.

var<workgroup> parts: array<f32, LANES>;
var<workgroup> sums: array<f32, 16>;

fn four_parts(i: u32) -> f32 { return parts[i] + parts[i + 16u] + (parts[i + 32u] + parts[i + 48u]); }

fn four_sums(i: u32) -> f32 { return sums[i] + sums[i + 1u] + (sums[i + 2u] + sums[i + 3u]); }

fn sum_of_lanes(lane: u32, part: f32) -> f32 {
  parts[lane] = part;
  workgroupBarrier();
  if (lane < 16u) {
    var sum = 0.0;
    for (var i = lane; i < LANES; i += 64u) {
      sum += four_parts(i);
    }
    sums[lane] = sum;
  }
  workgroupBarrier();
  let sum = four_sums(0u) + four_sums(4u) + (four_sums(8u) + four_sums(12u));
  // What comes next may write the parts again.
  workgroupBarrier();
  return sum;
}
