// Attention as in attention.wgsl, of many tokens on a GPU: lanes compute from workgroup memory, which
// neighbouring lanes fill with neighbouring quads.
//
// A workgroup computes ROWS rows, four for every 16 lanes. It goes through the keys in tiles and keeps the
// largest score of each row so far. In a tile, it takes one slice of the heads after another: each lane
// stores one quad of four keys, half of the lanes also one of four rows, and each scores four keys, 16 apart,
// for its own four rows. Then it sums quads, 16 apart, of the values, of which all rows use the same.

#import llm/attention_common.wgsl
#import llm/attention_rows.wgsl
#import llm/int8_by_8_lanes.wgsl

const FOURS = LANES / 16u;
const TILE = 64u;
// Quads in a slice; 16 lanes store each.
const SLICE = LANES / 16u;
// Vectors from a quad to the next: 16 keys or FOURS rows, and one more so that lanes store to different
// banks.
const KEY_STEP = 17u;
const QUERY_STEP = FOURS + 1u;
const LAST_QUAD = QUADS - 1u;

// For each of the four keys that a lane scores, its quads, and then, in the same place, the weights of the
// lanes. For each of the four floats of a quad of queries, the values of four rows. As arrays of four, since
// a compiler checks the bounds of one index once for all four.
var<workgroup> work: array<array<vec4<f32>, SLICE * KEY_STEP>, 4>;
var<workgroup> queries: array<array<vec4<f32>, SLICE * QUERY_STEP>, 4>;
// One vector of each lane in a reduction.
var<workgroup> lane_parts: array<vec4<f32>, LANES>;

fn floats_if(is_there: bool, a: f32, b: f32, c: f32, d: f32) -> vec4<f32> {
  return select(vec4<f32>(), vec4<f32>(a, b, c, d), is_there);
}

// Adds the products of a quad of a key with the queries of four rows.
fn with_floats(
  score: vec4<f32>, q0: vec4<f32>, q1: vec4<f32>, q2: vec4<f32>, q3: vec4<f32>, key: vec4<f32>) -> vec4<f32> {
  return score + q0 * key.x + q1 * key.y + q2 * key.z + q3 * key.w;
}

fn with_quad(s: Scores, q: u32, k: u32) -> Scores {
  let q0 = queries[0][q];
  let q1 = queries[1][q];
  let q2 = queries[2][q];
  let q3 = queries[3][q];
  return Scores(
    with_floats(s.k0, q0, q1, q2, q3, work[0][k]), with_floats(s.k1, q0, q1, q2, q3, work[1][k]),
    with_floats(s.k2, q0, q1, q2, q3, work[2][k]), with_floats(s.k3, q0, q1, q2, q3, work[3][k]));
}

// Adds the values of four keys, 16 apart, with the indices `i`, and those of the key behind each, with the
// indices `next`. The weights are at `lane` and `lane + 1`.
fn with_values(totals: Totals, lane: u32, i: vec4<u32>, next: vec4<u32>) -> Totals {
  let v0 = value_floats(values[i.x]);
  let v1 = value_floats(values[i.y]);
  let v2 = value_floats(values[i.z]);
  let v3 = value_floats(values[i.w]);
  let n0 = value_floats(values[next.x]);
  let n1 = value_floats(values[next.y]);
  let n2 = value_floats(values[next.z]);
  let n3 = value_floats(values[next.w]);
  let t =
    plus(
      plus(plus(plus(totals, work[0][lane], v0), work[1][lane], v1), work[2][lane], v2), work[3][lane], v3);
  let more = lane + 1u;
  return plus(
    plus(plus(plus(t, work[0][more], n0), work[1][more], n1), work[2][more], n2), work[3][more], n3);
}

fn max_of_four(i: u32) -> vec4<f32> {
  return max(max(lane_parts[i], lane_parts[i + 1u]), max(lane_parts[i + 2u], lane_parts[i + 3u]));
}

fn sum_of_four(i: u32) -> vec4<f32> {
  return lane_parts[i] + lane_parts[i + 1u] + (lane_parts[i + 2u] + lane_parts[i + 3u]);
}

// All lanes must call this.
fn store(lane: u32, row: Row, quad: u32, x: vec4<f32>) {
  let is_there = row.is_there && quad < QUADS;
  let i = (row.token * HEADS + row.head) * QUADS + quad;
  if (is_there) {
    attended[i] = x;
  }
  store_int8_by_8_lanes(lane, i, x, is_there);
}

fn store_four(
  lane: u32, r0: Row, r1: Row, r2: Row, r3: Row, quad: u32, totals: Totals, weight: vec4<f32>) {
  store(lane, r0, quad, totals.r0 / weight.x);
  store(lane, r1, quad, totals.r1 / weight.y);
  store(lane, r2, quad, totals.r2 / weight.z);
  store(lane, r3, quad, totals.r3 / weight.w);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let kv_head = group.x * QUADS;
  // The keys that any row attends to.
  let end = state.position + row_of(group, ROWS - 1u).token + 1u;
  var start = 0u;
  if (WINDOW > 0u) {
    start = max(state.position + row_of(group, 0u).token + 1u, WINDOW) - WINDOW;
  }

  let steps = vec4<u32>(0u, 1u, 2u, 3u);
  // What the lane puts into workgroup memory.
  let slice_quad = lane % SLICE;
  let slice_key = lane / SLICE;
  let has_queries = slice_key < FOURS;
  let first_query = 4u * (slice_key % FOURS);
  let queries_at = vec4<u32>(
    query_index(row_of(group, first_query)), query_index(row_of(group, first_query + 1u)),
    query_index(row_of(group, first_query + 2u)), query_index(row_of(group, first_query + 3u)));

  // What the lane computes.
  let four = lane / 16u;
  let column = lane % 16u;
  let r0 = row_of(group, 4u * four);
  let r1 = row_of(group, 4u * four + 1u);
  let r2 = row_of(group, 4u * four + 2u);
  let r3 = row_of(group, 4u * four + 3u);
  let ends = vec4<u32>(r0.token, r1.token, r2.token, r3.token) + vec4<u32>(state.position + 1u);
  var starts = vec4<u32>();
  if (WINDOW > 0u) {
    starts = max(ends, vec4<u32>(WINDOW)) - vec4<u32>(WINDOW);
  }

  let quads = min(vec4<u32>(column) + 16u * steps, vec4<u32>(LAST_QUAD));
  var t0 = Totals();
  var t1 = Totals();
  var t2 = Totals();
  var t3 = Totals();
  var weight = vec4<f32>();
  var max_score = vec4<f32>(LOWEST);
  for (var tile = start; tile < end; tile += TILE) {
    let last = vec4<u32>(end - 1u);
    let keys_at = min(vec4<u32>(tile + slice_key) + 16u * steps, last) * KEY_QUADS + vec4<u32>(kv_head);
    var sums = Scores();
    for (var first = 0u; first < QUADS; first += SLICE) {
      let is_there = first + slice_quad < QUADS;
      let quad = min(first + slice_quad, LAST_QUAD);
      // Loads everything before it uses any of it. Past the end of a head, queries are 0.
      let k0 = keys[keys_at.x + quad];
      let k1 = keys[keys_at.y + quad];
      let k2 = keys[keys_at.z + quad];
      let k3 = keys[keys_at.w + quad];
      var r = Totals();
      if (has_queries) {
        r = Totals(
          qkv[queries_at.x + quad], qkv[queries_at.y + quad], qkv[queries_at.z + quad],
          qkv[queries_at.w + quad]);
      }
      // Waits until all lanes have used the last slice.
      workgroupBarrier();
      let key = slice_quad * KEY_STEP + slice_key;
      work[0][key] = key_floats(k0);
      work[1][key] = key_floats(k1);
      work[2][key] = key_floats(k2);
      work[3][key] = key_floats(k3);
      if (has_queries) {
        let query = slice_quad * QUERY_STEP + slice_key;
        queries[0][query] = floats_if(is_there, r.r0.x, r.r1.x, r.r2.x, r.r3.x);
        queries[1][query] = floats_if(is_there, r.r0.y, r.r1.y, r.r2.y, r.r3.y);
        queries[2][query] = floats_if(is_there, r.r0.z, r.r1.z, r.r2.z, r.r3.z);
        queries[3][query] = floats_if(is_there, r.r0.w, r.r1.w, r.r2.w, r.r3.w);
      }
      workgroupBarrier();
      for (var i = 0u; i < SLICE; i += 4u) {
        let q = i * QUERY_STEP + four;
        let k = i * KEY_STEP + column;
        sums = with_quad(with_quad(sums, q, k), q + QUERY_STEP, k + KEY_STEP);
        sums =
          with_quad(
            with_quad(sums, q + 2u * QUERY_STEP, k + 2u * KEY_STEP), q + 3u * QUERY_STEP, k + 3u * KEY_STEP);
      }
    }
    let key = tile + column;
    var s0 = masked(sums.k0, key, starts, ends);
    var s1 = masked(sums.k1, key + 16u, starts, ends);
    var s2 = masked(sums.k2, key + 32u, starts, ends);
    var s3 = masked(sums.k3, key + 48u, starts, ends);

    lane_parts[lane] = max(max(s0, s1), max(s2, s3));
    workgroupBarrier();
    var next = max_score;
    for (var i = 0u; i < 16u; i += 4u) {
      next = max(next, max_of_four(16u * four + i));
    }
    // Before the first key of a row, all sums are 0.
    let scale = exp(max(max_score - next, vec4<f32>(-80.0)));
    max_score = next;
    s0 = weights_of(s0, max_score);
    s1 = weights_of(s1, max_score);
    s2 = weights_of(s2, max_score);
    s3 = weights_of(s3, max_score);
    weight = weight * scale + (s0 + s1 + (s2 + s3));
    work[0][lane] = s0;
    work[1][lane] = s1;
    work[2][lane] = s2;
    work[3][lane] = s3;
    workgroupBarrier();

    t0 = scaled(t0, scale);
    if (LANE_QUADS > 1u) { t1 = scaled(t1, scale); }
    if (LANE_QUADS > 2u) { t2 = scaled(t2, scale); }
    if (LANE_QUADS > 3u) { t3 = scaled(t3, scale); }
    // Past the last key, weights are 0.
    let count = min(end - tile, 16u);
    for (var k = 0u; k < count; k += 2u) {
      let v = min(vec4<u32>(tile + k) + 16u * steps, last) * KEY_QUADS + vec4<u32>(kv_head);
      let next = min(vec4<u32>(tile + k + 1u) + 16u * steps, last) * KEY_QUADS + vec4<u32>(kv_head);
      let at = 16u * four + k;
      t0 = with_values(t0, at, v + quads.x, next + quads.x);
      if (LANE_QUADS > 1u) { t1 = with_values(t1, at, v + quads.y, next + quads.y); }
      if (LANE_QUADS > 2u) { t2 = with_values(t2, at, v + quads.z, next + quads.z); }
      if (LANE_QUADS > 3u) { t3 = with_values(t3, at, v + quads.w, next + quads.w); }
    }
  }

  // A barrier separates this write from the last reads.
  lane_parts[lane] = weight;
  workgroupBarrier();
  weight = vec4<f32>();
  for (var i = 0u; i < 16u; i += 4u) {
    weight += sum_of_four(16u * four + i);
  }
  store_four(lane, r0, r1, r2, r3, column, t0, weight);
  if (LANE_QUADS > 1u) { store_four(lane, r0, r1, r2, r3, column + 16u, t1, weight); }
  if (LANE_QUADS > 2u) { store_four(lane, r0, r1, r2, r3, column + 32u, t2, weight); }
  if (LANE_QUADS > 3u) { store_four(lane, r0, r1, r2, r3, column + 48u, t3, weight); }
}
