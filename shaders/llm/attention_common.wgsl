// Parts that all kernels of attention share. A vector of four numbers that is no quad has one for each of
// four rows, which are query heads that share a head of keys and values.

#import keys
#import values

struct State {
  position: u32,  // of the first token
  tokens: u32,
}

@group(0) @binding(0) var<uniform> state: State;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keys: array<KeyQuad>;
@group(0) @binding(3) var<storage, read> values: array<ValueQuad>;
// The result; with KV_SPLITS, for each split the sum of values, their weight, and the largest score.
@group(0) @binding(4) var<storage, read_write> attended: array<vec4<f32>>;

const QUADS = HEAD / 4u;
const HEADS_PER_KV_HEAD = HEADS / KV_HEADS;
const KEY_QUADS = KV_HEADS * QUADS;
const LOWEST = -3.0e38;

// One quad of the sums of four rows.
struct Totals {
  r0: vec4<f32>,
  r1: vec4<f32>,
  r2: vec4<f32>,
  r3: vec4<f32>,
}

fn scaled(totals: Totals, by: vec4<f32>) -> Totals {
  return Totals(totals.r0 * by.x, totals.r1 * by.y, totals.r2 * by.z, totals.r3 * by.w);
}

fn plus(totals: Totals, weights: vec4<f32>, value: vec4<f32>) -> Totals {
  return Totals(
    totals.r0 + weights.x * value, totals.r1 + weights.y * value, totals.r2 + weights.z * value,
    totals.r3 + weights.w * value);
}

fn four_dots(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, key: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(dot(a, key), dot(b, key), dot(c, key), dot(d, key));
}

// exp(score - max_score); 0 for masked scores.
fn weights_of(score: vec4<f32>, max_score: vec4<f32>) -> vec4<f32> {
  let weights = exp(max(score - max_score, vec4<f32>(-80.0)));
  return select(vec4<f32>(), weights, score > vec4<f32>(0.5 * LOWEST));
}
