// Norms each head of queries and keys if NORM_HEADS, rotates its first 2·PAIRS floats by position (rope), and
// stores keys and values in the KV cache. A workgroup computes a head of a token.
//
// Of the HEAD floats from a head to the next, HEAD_FLOATS are the head's, and zeros pad the rest. A pair is
// two neighbours, or, with SPLIT_HALVES, one float of the first half and its counterpart in the second. Two
// floats in f16 share a word of the cache.

#import lib/f16_bits.wgsl
#import lib/workgroup_sum.wgsl

struct State {
  position: u32,  // of the first token
}

@group(0) @binding(0) var<uniform> state: State;
@group(0) @binding(1) var<storage, read_write> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> norms: array<f32>;
@group(0) @binding(3) var<storage, read> cos_sin: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> keys: array<u32>;
@group(0) @binding(5) var<storage, read_write> values: array<u32>;

const ROW = (HEADS + 2u * KV_HEADS) * HEAD;

var<workgroup> floats: array<f32, HEAD>;
// The cosine and the sine of each pair.
var<workgroup> pair_cos_sin: array<vec2<f32>, max(PAIRS, 1u)>;

fn rotated(i: u32) -> f32 {
  let x = floats[i];
  if (i >= 2u * PAIRS) {
    return x;
  }
  var pair = i / 2u;
  var partner = i ^ 1u;
  var first = i % 2u == 0u;
  if (SPLIT_HALVES) {
    pair = i % PAIRS;
    first = i < PAIRS;
    partner = select(i - PAIRS, i + PAIRS, first);
  }
  let cs = pair_cos_sin[pair];
  return x * cs.x + floats[partner] * select(cs.y, -cs.y, first);
}

fn store_key(pair: u32, a: f32, b: f32) {
  if (F16_KEYS) {
    keys[pair] = f32_bits_to_f16(bitcast<u32>(a)) | (f32_bits_to_f16(bitcast<u32>(b)) << 16u);
  } else {
    keys[2u * pair] = bitcast<u32>(a);
    keys[2u * pair + 1u] = bitcast<u32>(b);
  }
}

fn store_value(pair: u32, a: f32, b: f32) {
  if (F16_VALUES) {
    values[pair] = f32_bits_to_f16(bitcast<u32>(a)) | (f32_bits_to_f16(bitcast<u32>(b)) << 16u);
  } else {
    values[2u * pair] = bitcast<u32>(a);
    values[2u * pair + 1u] = bitcast<u32>(b);
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let token = group.y;
  let start = token * ROW + head * HEAD;
  let is_query = head < HEADS;
  let is_value = head >= HEADS + KV_HEADS;
  var squares = 0.0;
  for (var i = lane; i < HEAD; i += LANES) {
    let x = qkv[start + i];
    if (i < PAIRS) {
      pair_cos_sin[i] = cos_sin[token * PAIRS + i];
    }
    floats[i] = x;
    squares += x * x;
  }
  // Values do not use it, but barriers must not depend on the head.
  if (NORM_HEADS) {
    let factor = 1.0 / sqrt(workgroup_sum(lane, squares) / f32(HEAD_FLOATS) + EPSILON);
    for (var i = lane; i < HEAD && !is_value; i += LANES) {
      floats[i] *= factor * norms[select(HEAD, 0u, is_query) + i];
    }
  }
  workgroupBarrier();
  let kv_head = select(head - HEADS, head - HEADS - KV_HEADS, is_value);
  let cached = (state.position + token) * (KV_HEADS * HEAD / 2u) + kv_head * (HEAD / 2u);
  for (var i = lane; i < HEAD / 2u; i += LANES) {
    if (is_value) {
      store_value(cached + i, floats[2u * i], floats[2u * i + 1u]);
    } else {
      let a = rotated(2u * i);
      let b = rotated(2u * i + 1u);
      if (is_query) {
        qkv[start + 2u * i] = a;
        qkv[start + 2u * i + 1u] = b;
      } else {
        store_key(cached + i, a, b);
      }
    }
  }
}
