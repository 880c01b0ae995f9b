// Puts together what the SPANS parts of a head's attention gave. A workgroup does a head of a single token.

@group(0) @binding(1) var<storage, read> spans: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> attended: array<vec4<f32>>;

const QUADS = HEAD / 4u;
const LOWEST = -3.0e38;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let first = head * SPANS * (QUADS + 1u);
  if (lane < QUADS) {
    var most = LOWEST;
    for (var span = 0u; span < SPANS; span++) {
      most = max(most, spans[first + span * (QUADS + 1u) + QUADS].y);
    }
    var total = vec4<f32>();
    var weight = 0.0;
    for (var span = 0u; span < SPANS; span++) {
      let at = first + span * (QUADS + 1u);
      let part = spans[at + QUADS];
      // A span without keys has no weight.
      let scale = exp(max(part.y - most, -80.0));
      total += scale * spans[at + lane];
      weight += scale * part.x;
    }
    attended[head * QUADS + lane] = total / weight;
  }
  if (INT8) {
    storageBarrier();
    if (lane < QUADS / 8u) {
      store_attended_block(head * (QUADS / 8u) + lane);
    }
  }
}
