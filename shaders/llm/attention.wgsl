// Attention of queries to the keys and values up to their own position, or to the last WINDOW of them.
//
// A workgroup computes ROWS (4, 8 or 16) rows: the query heads that share a head of keys and values, of one
// token after another. All rows use what it reads of the KV cache. With KV_SPLITS above 1, for a single
// token, it goes through one of as many equal parts of the keys, and `attention_reduce` combines the results.
//
// It goes through the keys in tiles and keeps the largest score of each row so far; when a larger one comes,
// the sums are scaled down (online softmax). In a tile, a lane first scores four keys for four rows. Then it
// sums one quad of the values for the rows of LANE_FOURS fours; where there are more lanes than that takes,
// for one of PARTS parts of the keys.

#import llm/attention_common.wgsl
#import llm/attention_rows.wgsl
#ifdef INT8
#import llm/int8_by_1_lane.wgsl
// Stores 32 floats of the result as int8 too.
fn store_attention_int8(block: u32) {
  let at = 8u * block;
  store_int8_by_1_lane(
    block, attended[at], attended[at + 1u], attended[at + 2u], attended[at + 3u], attended[at + 4u],
    attended[at + 5u], attended[at + 6u], attended[at + 7u]);
}
#endif

const FOURS = ROWS / 4u;
// Lanes that score keys for the same four rows, and the keys in a tile.
const SCORERS = LANES / FOURS;
const TILE = 4u * SCORERS;
// Int8 blocks of a head; INT8 needs heads of whole blocks.
const BLOCKS = max(QUADS / 8u, 1u);

var<workgroup> scores: array<vec4<f32>, 4u * LANES>;
// One vector of each lane in a reduction, and four partial results for each four rows.
var<workgroup> lane_parts: array<vec4<f32>, LANES>;
var<workgroup> few_parts: array<vec4<f32>, 4u * FOURS>;
var<workgroup> scales: array<vec4<f32>, FOURS>;

// Adds the products of quad `i` of queries and keys. The tile has `left` keys; with FULL_TILES, that does not
// matter.
fn with_quad(scores: Scores, i: u32, queries: vec4<u32>, keys_at: vec4<u32>, left: u32) -> Scores {
  let q0 = qkv[queries.x + i];
  let q1 = qkv[queries.y + i];
  let q2 = qkv[queries.z + i];
  let q3 = qkv[queries.w + i];
  var s = scores;
  s.k0 += four_dots(q0, q1, q2, q3, key_floats(keys[keys_at.x + i]));
  if (FULL_TILES || left > SCORERS) {
    s.k1 += four_dots(q0, q1, q2, q3, key_floats(keys[keys_at.y + i]));
  }
  if (FULL_TILES || left > 2u * SCORERS) {
    s.k2 += four_dots(q0, q1, q2, q3, key_floats(keys[keys_at.z + i]));
    s.k3 += four_dots(q0, q1, q2, q3, key_floats(keys[keys_at.w + i]));
  }
  return s;
}

fn max_or_sum(a: vec4<f32>, b: vec4<f32>, is_sum: bool) -> vec4<f32> {
  return select(max(a, b), a + b, is_sum);
}

// Reduces `x` of all scorers of four rows to four partial maxima or sums in `few_parts`. All lanes must call
// this.
fn gather(lane: u32, x: vec4<f32>, is_sum: bool) {
  let scorer = lane % SCORERS;
  lane_parts[lane] = x;
  workgroupBarrier();
  if (scorer < 4u) {
    var all = x;
    for (var i = 4u; i < SCORERS; i += 4u) {
      all = max_or_sum(all, lane_parts[lane + i], is_sum);
    }
    few_parts[lane / SCORERS * 4u + scorer] = all;
  }
  workgroupBarrier();
}

fn weight_of(four: u32) -> vec4<f32> {
  let at = 4u * four;
  return few_parts[at] + few_parts[at + 1u] + (few_parts[at + 2u] + few_parts[at + 3u]);
}

// Adds the values of four keys, PARTS apart; `first` is the index of the first key's weights.
fn plus_four(
  totals: Totals, first: u32, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> Totals {
  let step = PARTS * FOURS;
  return plus(
    plus(plus(plus(totals, scores[first], v0), scores[first + step], v1), scores[first + 2u * step], v2),
    scores[first + 3u * step], v3);
}

fn store_row(group: vec3<u32>, i: u32, quad: u32, total: vec4<f32>, weight: f32) {
  let row = row_of(group, i);
  if (!row.is_there) {
    return;
  }
  if (KV_SPLITS > 1u) {
    attended[(row.head * KV_SPLITS + group.z) * (QUADS + 1u) + quad] = total;
  } else {
    attended[(row.token * HEADS + row.head) * QUADS + quad] = total / weight;
  }
}

fn store_four(group: vec3<u32>, four: u32, quad: u32, totals: Totals) {
  let weights = weight_of(four);
  store_row(group, 4u * four, quad, totals.r0, weights.x);
  store_row(group, 4u * four + 1u, quad, totals.r1, weights.y);
  store_row(group, 4u * four + 2u, quad, totals.r2, weights.z);
  store_row(group, 4u * four + 3u, quad, totals.r3, weights.w);
}

// Stores the weight of a split and its largest score behind its quads.
fn store_weight(group: vec3<u32>, i: u32, weight: f32, max_score: f32) {
  let row = row_of(group, i);
  if (row.is_there) {
    attended[(row.head * KV_SPLITS + group.z) * (QUADS + 1u) + QUADS] =
      vec4<f32>(weight, max_score, 0.0, 0.0);
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let kv_head = group.x * QUADS;
  // The keys that any row attends to.
  let first_row = row_of(group, 0u);
  let last_row = row_of(group, ROWS - 1u);
  var end = state.position + last_row.token + 1u;
  var start = 0u;
  if (WINDOW > 0u) {
    start = max(state.position + first_row.token + 1u, WINDOW) - WINDOW;
  }
  if (KV_SPLITS > 1u) {
    let length = (end - start + KV_SPLITS - 1u) / KV_SPLITS;
    start = min(start + group.z * length, end);
    end = min(start + length, end);
  }

  let scorer = lane % SCORERS;
  let four = lane / SCORERS;
  let r0 = row_of(group, 4u * four);
  let r1 = row_of(group, 4u * four + 1u);
  let r2 = row_of(group, 4u * four + 2u);
  let r3 = row_of(group, 4u * four + 3u);
  let queries = vec4<u32>(query_index(r0), query_index(r1), query_index(r2), query_index(r3));
  let row_ends = vec4<u32>(r0.token, r1.token, r2.token, r3.token) + vec4<u32>(state.position + 1u);
  var starts = vec4<u32>();
  if (WINDOW > 0u) {
    starts = max(row_ends, vec4<u32>(WINDOW)) - vec4<u32>(WINDOW);
  }
  // The rows of a split end with its keys; they start with its first tile.
  let ends = min(row_ends, vec4<u32>(end));

  let steps = vec4<u32>(0u, 1u, 2u, 3u);
  let quad = lane % QUADS;
  let part = lane / QUADS % PARTS;
  let first_four = lane / QUADS / PARTS * LANE_FOURS;
  let has_values = first_four < FOURS;
  var t0 = Totals();
  var t1 = Totals();
  var t2 = Totals();
  var t3 = Totals();
  var weight = vec4<f32>();
  var max_score = vec4<f32>(LOWEST);
  for (var tile = start; tile < end; tile += TILE) {
    let key = tile + scorer;
    let keys_at =
      min(vec4<u32>(key) + SCORERS * steps, vec4<u32>(end - 1u)) * KEY_QUADS + vec4<u32>(kv_head);
    // In the last tile, lanes without a key score nothing.
    let left = end - tile;
    var sums = Scores();
    for (var i = select(0u, QUADS, key >= end); i < QUADS; i += 2u) {
      sums = with_quad(sums, i, queries, keys_at, left);
      if (QUADS % 2u == 0u || i + 1u < QUADS) { sums = with_quad(sums, i + 1u, queries, keys_at, left); }
    }
    var s0 = masked(sums.k0, key, starts, ends);
    var s1 = masked(sums.k1, key + SCORERS, starts, ends);
    var s2 = masked(sums.k2, key + 2u * SCORERS, starts, ends);
    var s3 = masked(sums.k3, key + 3u * SCORERS, starts, ends);

    gather(lane, max(max(s0, s1), max(s2, s3)), false);
    let at = 4u * four;
    let next =
      max(
        max_score, max(max(few_parts[at], few_parts[at + 1u]), max(few_parts[at + 2u], few_parts[at + 3u])));
    // Before the first key of a row, all sums are 0.
    let scale = exp(max(max_score - next, vec4<f32>(-80.0)));
    max_score = next;
    s0 = weights_of(s0, max_score);
    s1 = weights_of(s1, max_score);
    s2 = weights_of(s2, max_score);
    s3 = weights_of(s3, max_score);
    weight = weight * scale + (s0 + s1 + (s2 + s3));
    scores[scorer * FOURS + four] = s0;
    scores[(scorer + SCORERS) * FOURS + four] = s1;
    scores[(scorer + 2u * SCORERS) * FOURS + four] = s2;
    scores[(scorer + 3u * SCORERS) * FOURS + four] = s3;
    if (scorer == 0u) {
      scales[four] = scale;
    }
    // Two more barriers separate the reads below from the next writes.
    workgroupBarrier();

    if (has_values) {
      t0 = scaled(t0, scales[first_four]);
      if (LANE_FOURS > 1u) { t1 = scaled(t1, scales[min(first_four + 1u, FOURS - 1u)]); }
      if (LANE_FOURS > 2u) {
        t2 = scaled(t2, scales[min(first_four + 2u, FOURS - 1u)]);
        t3 = scaled(t3, scales[min(first_four + 3u, FOURS - 1u)]);
      }
      // Loads four values before it uses the first. Past the last key, weights are 0.
      let count = min(TILE, end - tile);
      for (var k = part; k < count; k += 4u * PARTS) {
        let v_key = min(vec4<u32>(tile + k) + PARTS * steps, vec4<u32>(end - 1u));
        let v = v_key * KEY_QUADS + vec4<u32>(kv_head + quad);
        let v0 = value_floats(values[v.x]);
        let v1 = value_floats(values[v.y]);
        let v2 = value_floats(values[v.z]);
        let v3 = value_floats(values[v.w]);
        let first = k * FOURS + first_four;
        t0 = plus_four(t0, first, v0, v1, v2, v3);
        if (LANE_FOURS > 1u) { t1 = plus_four(t1, first + 1u, v0, v1, v2, v3); }
        if (LANE_FOURS > 2u) {
          t2 = plus_four(t2, first + 2u, v0, v1, v2, v3);
          t3 = plus_four(t3, first + 3u, v0, v1, v2, v3);
        }
      }
    }
  }

  gather(lane, weight, true);
  if (PARTS > 1u) {
    // No lane reads weights from here on.
    scores[4u * lane] = t0.r0;
    scores[4u * lane + 1u] = t0.r1;
    scores[4u * lane + 2u] = t0.r2;
    scores[4u * lane + 3u] = t0.r3;
    workgroupBarrier();
    if (has_values && part == 0u) {
      for (var i = 1u; i < PARTS; i++) {
        let other = 4u * (lane + i * QUADS);
        t0 = Totals(
          t0.r0 + scores[other], t0.r1 + scores[other + 1u], t0.r2 + scores[other + 2u],
          t0.r3 + scores[other + 3u]);
      }
    }
  }
  if (has_values && part == 0u) {
    store_four(group, first_four, quad, t0);
    if (LANE_FOURS > 1u) { store_four(group, first_four + 1u, quad, t1); }
    if (LANE_FOURS > 2u) {
      store_four(group, first_four + 2u, quad, t2);
      store_four(group, first_four + 3u, quad, t3);
    }
  }
  if (KV_SPLITS > 1u && scorer == 0u) {
    let weights = weight_of(four);
    store_weight(group, 4u * four, weights.x, max_score.x);
    store_weight(group, 4u * four + 1u, weights.y, max_score.y);
    store_weight(group, 4u * four + 2u, weights.z, max_score.z);
    store_weight(group, 4u * four + 3u, weights.w, max_score.w);
  }
#ifdef INT8
  // Other lanes have stored parts of the blocks.
  storageBarrier();
  for (var i = lane; i < ROWS * BLOCKS; i += LANES) {
    let row = row_of(group, i / BLOCKS);
    if (row.is_there) {
      store_attention_int8((row.token * HEADS + row.head) * BLOCKS + i % BLOCKS);
    }
  }
#endif
}
