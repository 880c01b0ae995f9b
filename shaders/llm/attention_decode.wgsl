// Attention as in attention.wgsl, of a single token on a GPU, where waiting for memory takes most of the
// time: a lane loads all that it needs of KEYS keys and their values before it uses any.
//
// A workgroup computes four query heads that share a head of keys and values, for one of KV_SPLITS equal
// parts of the keys; `attention_reduce` combines the results. It goes through the keys in tiles and keeps the
// largest score of each row so far. In a tile, KEY_LANES lanes share the quads of a key, eight each; then a
// lane sums one quad of eight values.

#import llm/attention_common.wgsl
#import llm/int8_by_8_lanes.wgsl

// ROW_QUADS is QUADS, rounded up to a power of two, and at least 8.
const KEY_LANES = ROW_QUADS / 8u;
const KEYS = LANES / KEY_LANES;
const PARTS = KEYS / 8u;
const LAST_QUAD = QUADS - 1u;

var<workgroup> queries: array<vec4<f32>, 4u * ROW_QUADS>;
// Partial scores, and behind them scores and then weights; at the end, the sums of two rows.
var<workgroup> work: array<vec4<f32>, 2u * LANES>;
var<workgroup> maxima: array<vec4<f32>, 16>;
var<workgroup> part_weights: array<vec4<f32>, PARTS>;

fn score_of(quad: u32, key: vec4<f32>) -> vec4<f32> {
  return four_dots(
    queries[quad], queries[ROW_QUADS + quad], queries[2u * ROW_QUADS + quad], queries[3u * ROW_QUADS + quad],
    key);
}

// The select uses the value at once, so that no compiler moves the load behind barriers.
fn value_at(i: u32, is_there: bool) -> vec4<f32> {
  return select(vec4<f32>(), value_floats(values[i]), is_there);
}

fn max_of_four(i: u32) -> vec4<f32> {
  return max(max(maxima[i], maxima[i + 1u]), max(maxima[i + 2u], maxima[i + 3u]));
}

// The sum over all parts of one quad of a row.
fn sum_of_parts(first: u32) -> vec4<f32> {
  var sum = vec4<f32>();
  for (var part = 0u; part < PARTS; part += 4u) {
    let i = first + part * ROW_QUADS;
    sum += work[i] + work[i + ROW_QUADS] + (work[i + 2u * ROW_QUADS] + work[i + 3u * ROW_QUADS]);
  }
  return sum;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var end = state.position + 1u;
  var start = 0u;
  if (WINDOW > 0u) {
    start = max(end, WINDOW) - WINDOW;
  }
  if (KV_SPLITS > 1u) {
    let length = (end - start + KV_SPLITS - 1u) / KV_SPLITS;
    start = min(start + group.z * length, end);
    end = min(start + length, end);
  }

  // A row past the last computes the same as the last. Quads past the end of a head are 0.
  let row = lane / ROW_QUADS;
  let quad = lane % ROW_QUADS;
  let group_head = 4u * group.y + row;
  let head = group.x * HEADS_PER_KV_HEAD + min(group_head, HEADS_PER_KV_HEAD - 1u);
  let query = select(vec4<f32>(), SCALE * qkv[head * QUADS + min(quad, LAST_QUAD)], quad < QUADS);

  let kv_head = group.x * QUADS;
  let steps = vec4<u32>(0u, 1u, 2u, 3u);
  let key_quad = lane % KEY_LANES;
  let last_quad = vec4<u32>(LAST_QUAD);
  let key_quads = vec4<u32>(kv_head) + min(vec4<u32>(key_quad) + KEY_LANES * steps, last_quad);
  let more_key_quads =
    vec4<u32>(kv_head) + min(vec4<u32>(key_quad + 4u * KEY_LANES) + KEY_LANES * steps, last_quad);
  let part = lane / ROW_QUADS;
  let value_quad = vec4<u32>(kv_head + min(quad, LAST_QUAD));
  var totals = Totals();
  var weight = vec4<f32>();
  var max_score = vec4<f32>(LOWEST);
  for (var tile = start; tile < end; tile += KEYS) {
    let last = vec4<u32>(end - 1u);
    let key = vec4<u32>(min(tile + lane / KEY_LANES, end - 1u) * KEY_QUADS);
    let k = key + key_quads;
    let more_k = key + more_key_quads;
    let k0 = key_floats(keys[k.x]);
    let k1 = key_floats(keys[k.y]);
    let k2 = key_floats(keys[k.z]);
    let k3 = key_floats(keys[k.w]);
    let k4 = key_floats(keys[more_k.x]);
    let k5 = key_floats(keys[more_k.y]);
    let k6 = key_floats(keys[more_k.z]);
    let k7 = key_floats(keys[more_k.w]);
    let first_value = vec4<u32>(tile + part) + PARTS * steps;
    let next_value = first_value + vec4<u32>(4u * PARTS);
    let is_value = first_value <= last;
    let is_more_value = next_value <= last;
    let v = min(first_value, last) * KEY_QUADS + value_quad;
    let more_v = min(next_value, last) * KEY_QUADS + value_quad;
    let v0 = value_at(v.x, is_value.x);
    let v1 = value_at(v.y, is_value.y);
    let v2 = value_at(v.z, is_value.z);
    let v3 = value_at(v.w, is_value.w);
    let v4 = value_at(more_v.x, is_more_value.x);
    let v5 = value_at(more_v.y, is_more_value.y);
    let v6 = value_at(more_v.z, is_more_value.z);
    let v7 = value_at(more_v.w, is_more_value.w);

    // In each tile: before the first tile, the loads of keys and values would wait for it.
    if (row < 4u) {
      queries[lane] = query;
    }
    workgroupBarrier();
    work[lane] =
      score_of(key_quad, k0) + score_of(key_quad + KEY_LANES, k1)
      + (score_of(key_quad + 2u * KEY_LANES, k2) + score_of(key_quad + 3u * KEY_LANES, k3))
      + (score_of(key_quad + 4u * KEY_LANES, k4) + score_of(key_quad + 5u * KEY_LANES, k5)
      + (score_of(key_quad + 6u * KEY_LANES, k6) + score_of(key_quad + 7u * KEY_LANES, k7)));
    workgroupBarrier();
    var score = vec4<f32>(LOWEST);
    if (lane < KEYS) {
      if (tile + lane < end) {
        score = vec4<f32>();
        for (var i = 0u; i < KEY_LANES; i++) {
          score += work[lane * KEY_LANES + i];
        }
      }
      work[LANES + lane] = score;
    }
    workgroupBarrier();
    if (lane < 16u) {
      var all = score;
      for (var i = lane + 16u; i < KEYS; i += 16u) {
        all = max(all, work[LANES + i]);
      }
      maxima[lane] = all;
    }
    workgroupBarrier();
    let next =
      max(max_score, max(max(max_of_four(0u), max_of_four(4u)), max(max_of_four(8u), max_of_four(12u))));
    // Before the first key, all sums are 0.
    let scale = exp(max(max_score - next, vec4<f32>(-80.0)));
    max_score = next;
    if (lane < KEYS) {
      work[LANES + lane] = weights_of(score, max_score);
    }
    workgroupBarrier();

    // Another barrier separates the reads below from the next writes.
    let w = LANES + part;
    let w0 = work[w];
    let w1 = work[w + PARTS];
    let w2 = work[w + 2u * PARTS];
    let w3 = work[w + 3u * PARTS];
    let w4 = work[w + 4u * PARTS];
    let w5 = work[w + 5u * PARTS];
    let w6 = work[w + 6u * PARTS];
    let w7 = work[w + 7u * PARTS];
    weight = weight * scale + (w0 + w1 + (w2 + w3) + (w4 + w5 + (w6 + w7)));
    totals = plus(plus(scaled(totals, scale), w0, v0), w1, v1);
    totals = plus(plus(totals, w2, v2), w3, v3);
    totals = plus(plus(totals, w4, v4), w5, v5);
    totals = plus(plus(totals, w6, v6), w7, v7);
  }

  workgroupBarrier();
  work[lane] = totals.r0;
  work[LANES + lane] = totals.r1;
  if (quad == 0u) {
    part_weights[part] = weight;
  }
  workgroupBarrier();
  var total = vec4<f32>();
  if (row < 2u) {
    total = sum_of_parts(row * LANES + quad);
  }
  workgroupBarrier();
  work[lane] = totals.r2;
  work[LANES + lane] = totals.r3;
  workgroupBarrier();
  if (row == 2u || row == 3u) {
    total = sum_of_parts((row - 2u) * LANES + quad);
  }
  weight = vec4<f32>();
  for (var i = 0u; i < PARTS; i++) {
    weight += part_weights[i];
  }
  let row_weight = weight[row % 4u];
  let is_there = row < 4u && group_head < HEADS_PER_KV_HEAD && quad < QUADS;
  if (KV_SPLITS > 1u) {
    if (is_there) {
      let first = (head * KV_SPLITS + group.z) * (QUADS + 1u);
      attended[first + quad] = total;
      if (quad == 0u) {
        attended[first + QUADS] = vec4<f32>(row_weight, max_score[row % 4u], 0.0, 0.0);
      }
    }
  } else {
    let x = total / row_weight;
    if (is_there) {
      attended[head * QUADS + quad] = x;
    }
    store_int8_by_8_lanes(lane, head * QUADS + quad, x, is_there);
  }
}
