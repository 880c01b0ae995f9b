// Picks the USED of COUNT experts that fit a token best, of equals the first; their shares are the softmax of how well they fit. A workgroup does a token.

@group(0) @binding(1) var<storage, read> fits: array<f32>;
@group(0) @binding(2) var<storage, read_write> picks: array<u32>;
@group(0) @binding(3) var<storage, read_write> shares: array<f32>;

const LOWEST = -3.0e38;

var<workgroup> left: array<f32, COUNT>;
var<workgroup> best_fit: array<f32, LANES>;
var<workgroup> best_expert: array<u32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * USED;
  for (var i = lane; i < COUNT; i += LANES) {
    left[i] = fits[group.x * COUNT + i];
  }
  var most = 0.0;
  var sum = 0.0;
  for (var pick = 0u; pick < USED; pick++) {
    workgroupBarrier();
    var fit = LOWEST;
    var expert = COUNT;
    for (var i = lane; i < COUNT; i += LANES) {
      if (left[i] > fit) {
        fit = left[i];
        expert = i;
      }
    }
    best_fit[lane] = fit;
    best_expert[lane] = expert;
    workgroupBarrier();
    for (var i = 0u; i < LANES; i++) {
      let other = best_fit[i];
      if (other > fit || (other == fit && best_expert[i] < expert)) {
        fit = other;
        expert = best_expert[i];
      }
    }
    most = select(most, fit, pick == 0u);
    let e = exp(max(fit - most, -80.0));
    sum += e;
    if (lane == 0u) {
      picks[row + pick] = expert;
      shares[row + pick] = e;
      left[min(expert, COUNT - 1u)] = LOWEST;
    }
  }
  if (lane == 0u) {
    for (var pick = 0u; pick < USED; pick++) {
      shares[row + pick] /= sum;
    }
  }
}
