// Attention of one query head of a token to the keys and values up to its own position, or to the last WINDOW of them. A workgroup does it, or, with SPANS above 1,
// one of as many equal parts, which `combine` puts together.
//
// It goes through the keys in tiles, keeping the largest score so far: what it has summed up is scaled down when a larger one comes. Within a tile a lane scores
// some of the keys; then the lanes are PARTS rows of QUADS, each of which sums up one quad of some of the values.

struct State {
  position: u32,  // of the first token
}

@group(0) @binding(0) var<uniform> state: State;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keys: array<Quad>;
@group(0) @binding(3) var<storage, read> values: array<Quad>;
// The result, or for each span the sum of values, their weight, and what was taken off the scores.
@group(0) @binding(4) var<storage, read_write> attended: array<vec4<f32>>;

const QUADS = HEAD / 4u;
const PARTS = LANES / QUADS;
const ROW = (HEADS + 2u * KV_HEADS) * QUADS;
const KV_ROW = KV_HEADS * QUADS;
const TILE = 512u;
const LOWEST = -3.0e38;

var<workgroup> query: array<vec4<f32>, QUADS>;
var<workgroup> scores: array<f32, TILE>;
var<workgroup> largest: array<f32, LANES>;
var<workgroup> totals: array<vec4<f32>, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let token = group.y;
  let kv_head = head / (HEADS / KV_HEADS) * QUADS;
  var end = state.position + token + 1u;
  var start = 0u;
  if (WINDOW > 0u) {
    start = max(end, WINDOW) - WINDOW;
  }
  if (SPANS > 1u) {
    let length = (end - start + SPANS - 1u) / SPANS;
    start = min(start + group.z * length, end);
    end = min(start + length, end);
  }
  for (var i = lane; i < QUADS; i += LANES) {
    query[i] = qkv[token * ROW + head * QUADS + i] * SCALE;
  }
  workgroupBarrier();

  let part = lane / QUADS;
  let quad = lane % QUADS;
  var total = vec4<f32>();
  var weight = 0.0;
  var most = LOWEST;
  for (var tile = start; tile < end; tile += TILE) {
    let count = min(TILE, end - tile);
    var lane_most = most;
    for (var k = lane; k < count; k += LANES) {
      let row = (tile + k) * KV_ROW + kv_head;
      var products = vec4<f32>();
      for (var i = 0u; i < QUADS; i++) {
        products += query[i] * floats(keys[row + i]);
      }
      let score = products.x + products.y + (products.z + products.w);
      scores[k] = score;
      lane_most = max(lane_most, score);
    }
    largest[lane] = lane_most;
    workgroupBarrier();
    var tile_most = lane_most;
    for (var i = 0u; i < LANES; i++) {
      tile_most = max(tile_most, largest[i]);
    }
    // 0 before the first tile, where there is nothing to scale.
    let scale = exp(max(most - tile_most, -80.0));
    weight *= scale;
    total *= scale;
    most = tile_most;
    for (var k = lane; k < count; k += LANES) {
      let e = exp(max(scores[k] - most, -80.0));
      scores[k] = e;
      weight += e;
    }
    workgroupBarrier();
    for (var k = part; k < count && part < PARTS; k += PARTS) {
      total += scores[k] * floats(values[(tile + k) * KV_ROW + kv_head + quad]);
    }
    workgroupBarrier();
  }

  totals[lane] = total;
  let all = sum_of_lanes(lane, weight);
  if (lane < QUADS) {
    for (var i = 1u; i < PARTS; i++) {
      total += totals[i * QUADS + lane];
    }
    if (SPANS > 1u) {
      attended[(head * SPANS + group.z) * (QUADS + 1u) + lane] = total;
    } else {
      store_attended((token * HEADS + head) * QUADS, lane, total / all);
    }
  }
  if (SPANS > 1u) {
    if (lane == 0u) {
      attended[(head * SPANS + group.z) * (QUADS + 1u) + QUADS] = vec4<f32>(all, most, 0.0, 0.0);
    }
  } else {
    store_blocks((token * HEADS + head) * QUADS, lane);
  }
}
