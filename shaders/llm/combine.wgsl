// Puts together what the SPANS parts of a head's attention gave. A workgroup does a head of a single token; of its lanes, some have the same quad of other spans.

@group(0) @binding(1) var<storage, read> spans: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> attended: array<vec4<f32>>;

const QUADS = HEAD / 4u;
const LOWEST = -3.0e38;
// ROW_QUADS is QUADS, rounded up to a power of two, and at least 8.
const PARTS = LANES / ROW_QUADS;
const LAST_SPAN = SPANS - 1u;

// Of each span, its weight and what was taken off its scores.
var<workgroup> weights: array<vec2<f32>, SPANS>;
var<workgroup> totals: array<vec4<f32>, LANES>;

fn scale_of(span: u32, most: f32) -> f32 {
  let scale = exp(max(weights[min(span, LAST_SPAN)].y - most, -80.0));
  return select(0.0, scale, span < SPANS);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let first = head * SPANS * (QUADS + 1u);
  for (var span = lane; span < SPANS; span += LANES) {
    weights[span] = spans[first + span * (QUADS + 1u) + QUADS].xy;
  }
  workgroupBarrier();
  var most = LOWEST;
  for (var span = 0u; span < SPANS; span++) {
    most = max(most, weights[span].y);
  }
  // A span without keys has no weight.
  var weight = 0.0;
  for (var span = 0u; span < SPANS; span++) {
    weight += scale_of(span, most) * weights[span].x;
  }
  let quad = lane % ROW_QUADS;
  let at = first + min(quad, QUADS - 1u);
  var total = vec4<f32>();
  // Four are asked for before the first is there.
  for (var span = lane / ROW_QUADS; span < SPANS; span += 4u * PARTS) {
    let i = vec4<u32>(span) + PARTS * vec4<u32>(0u, 1u, 2u, 3u);
    let at_i = vec4<u32>(at) + min(i, vec4<u32>(LAST_SPAN)) * (QUADS + 1u);
    let a = spans[at_i.x];
    let b = spans[at_i.y];
    let c = spans[at_i.z];
    let d = spans[at_i.w];
    total += scale_of(i.x, most) * a + scale_of(i.y, most) * b + (scale_of(i.z, most) * c + scale_of(i.w, most) * d);
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
  store_eighth(lane, head * QUADS + lane, x, lane < QUADS);
}
