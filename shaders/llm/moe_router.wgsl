// Chooses the TOP_K of EXPERTS experts with the largest logits, of equal logits the first; their weights are
// the softmax of these logits. A workgroup computes a token.

@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> experts: array<u32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;

const LOWEST = -3.0e38;

var<workgroup> remaining: array<f32, EXPERTS>;
var<workgroup> best_logit: array<f32, LANES>;
var<workgroup> best_expert: array<u32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * TOP_K;
  for (var i = lane; i < EXPERTS; i += LANES) {
    remaining[i] = logits[group.x * EXPERTS + i];
  }
  var max_logit = 0.0;
  var sum = 0.0;
  for (var k = 0u; k < TOP_K; k++) {
    workgroupBarrier();
    var logit = LOWEST;
    var expert = EXPERTS;
    for (var i = lane; i < EXPERTS; i += LANES) {
      if (remaining[i] > logit) {
        logit = remaining[i];
        expert = i;
      }
    }
    best_logit[lane] = logit;
    best_expert[lane] = expert;
    workgroupBarrier();
    for (var i = 0u; i < LANES; i++) {
      let other = best_logit[i];
      if (other > logit || (other == logit && best_expert[i] < expert)) {
        logit = other;
        expert = best_expert[i];
      }
    }
    max_logit = select(max_logit, logit, k == 0u);
    let e = exp(max(logit - max_logit, -80.0));
    sum += e;
    if (lane == 0u) {
      experts[row + k] = expert;
      weights[row + k] = e;
      remaining[min(expert, EXPERTS - 1u)] = LOWEST;
    }
  }
  if (lane == 0u) {
    for (var k = 0u; k < TOP_K; k++) {
      weights[row + k] /= sum;
    }
  }
}
