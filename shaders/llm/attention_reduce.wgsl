// Combines the results of KV_SPLITS splits of a head's attention. A workgroup computes a head of a single
// token; several of its lanes have the same quad, of different splits.

#import llm/int8_by_8_lanes.wgsl

@group(0) @binding(1) var<storage, read> splits: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> attended: array<vec4<f32>>;

const QUADS = HEAD / 4u;
const LOWEST = -3.0e38;
// ROW_QUADS is QUADS, rounded up to a power of two, and at least 8.
const PARTS = LANES / ROW_QUADS;
const LAST_SPLIT = KV_SPLITS - 1u;

// The weight and the largest score of each split.
var<workgroup> weights: array<vec2<f32>, KV_SPLITS>;
var<workgroup> totals: array<vec4<f32>, LANES>;

fn scale_of(split: u32, max_score: f32) -> f32 {
  let scale = exp(max(weights[min(split, LAST_SPLIT)].y - max_score, -80.0));
  return select(0.0, scale, split < KV_SPLITS);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let first = head * KV_SPLITS * (QUADS + 1u);
  for (var split = lane; split < KV_SPLITS; split += LANES) {
    weights[split] = splits[first + split * (QUADS + 1u) + QUADS].xy;
  }
  workgroupBarrier();
  var max_score = LOWEST;
  for (var split = 0u; split < KV_SPLITS; split++) {
    max_score = max(max_score, weights[split].y);
  }
  // A split without keys has the weight 0.
  var weight = 0.0;
  for (var split = 0u; split < KV_SPLITS; split++) {
    weight += scale_of(split, max_score) * weights[split].x;
  }
  let quad = lane % ROW_QUADS;
  let at = first + min(quad, QUADS - 1u);
  var total = vec4<f32>();
  // Loads four before it uses the first.
  for (var split = lane / ROW_QUADS; split < KV_SPLITS; split += 4u * PARTS) {
    let i = vec4<u32>(split) + PARTS * vec4<u32>(0u, 1u, 2u, 3u);
    let at_i = vec4<u32>(at) + min(i, vec4<u32>(LAST_SPLIT)) * (QUADS + 1u);
    let a = splits[at_i.x];
    let b = splits[at_i.y];
    let c = splits[at_i.z];
    let d = splits[at_i.w];
    total += scale_of(i.x, max_score) * a + scale_of(i.y, max_score) * b
      + (scale_of(i.z, max_score) * c + scale_of(i.w, max_score) * d);
  }
  totals[lane] = total;
  workgroupBarrier();
  if (lane < ROW_QUADS) {
    for (var i = 1u; i < PARTS; i++) {
      total += totals[lane + i * ROW_QUADS];
    }
  }
  let x = total / weight;
  if (lane < QUADS) {
    attended[head * QUADS + lane] = x;
  }
  store_int8_by_8_lanes(lane, head * QUADS + lane, x, lane < QUADS);
}
