// add_rms_norm.wgsl for a GPU, where waiting for memory takes most of the time: a lane loads all that it
// needs of a token before it uses any, and keeps it.
//
// A lane has four neighbouring quads of a token, or eight if there are MORE. A workgroup computes a token.

#import lib/workgroup_sum.wgsl
#import llm/int8_by_2_lanes.wgsl

@group(0) @binding(1) var<storage, read_write> hidden: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> branch: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> post: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> normed: array<vec4<f32>>;

const QUADS = WIDTH / 4u;
const MORE = QUADS > 4u * LANES;

struct Four {
  a: vec4<f32>,
  b: vec4<f32>,
  c: vec4<f32>,
  d: vec4<f32>,
}

fn hidden_at(row: u32, i: vec4<u32>) -> Four {
  return Four(hidden[row + i.x], hidden[row + i.y], hidden[row + i.z], hidden[row + i.w]);
}
fn branch_at(row: u32, i: vec4<u32>) -> Four {
  return Four(branch[row + i.x], branch[row + i.y], branch[row + i.z], branch[row + i.w]);
}
fn post_at(i: vec4<u32>) -> Four { return Four(post[i.x], post[i.y], post[i.z], post[i.w]); }
fn weights_at(i: vec4<u32>) -> Four { return Four(weights[i.x], weights[i.y], weights[i.z], weights[i.w]); }

fn plus(x: Four, y: Four) -> Four { return Four(x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d); }
fn times(x: Four, y: Four) -> Four { return Four(x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d); }
fn scaled(x: Four, by: f32) -> Four { return Four(x.a * by, x.b * by, x.c * by, x.d * by); }

// The sum of squares. Quads past the end of the row repeat another lane's and do not count.
fn squares_of(x: Four, i: vec4<u32>) -> f32 {
  let squares = vec4<f32>(dot(x.a, x.a), dot(x.b, x.b), dot(x.c, x.c), dot(x.d, x.d));
  return dot(select(vec4<f32>(), squares, i < vec4<u32>(QUADS)), vec4<f32>(1.0));
}

// 1 / rms, from the sum of squares.
fn factor(squares: f32) -> f32 { return 1.0 / sqrt(squares / f32(WIDTH) + EPSILON); }

fn store_quad(row: u32, i: u32, x: vec4<f32>, y: vec4<f32>) {
  if (i < QUADS) {
    hidden[row + i] = x;
    normed[row + i] = y;
  }
}

fn store_four(lane: u32, row: u32, i: vec4<u32>, x: Four, y: Four) {
  store_quad(row, i.x, x.a, y.a);
  store_quad(row, i.y, x.b, y.b);
  store_quad(row, i.z, x.c, y.c);
  store_quad(row, i.w, x.d, y.d);
  store_int8_by_2_lanes(lane, row + i.x, y, i.x < QUADS);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * QUADS;
  let i = 4u * vec4<u32>(lane) + vec4<u32>(0u, 1u, 2u, 3u);
  let more_i = i + vec4<u32>(4u * LANES);
  let at = min(i, vec4<u32>(QUADS - 1u));
  let more_at = min(more_i, vec4<u32>(QUADS - 1u));

  var x = hidden_at(row, at);
  var y = Four();
  var post_weights = Four();
  let norm_weights = weights_at(at);
  var more_x = Four();
  var more_y = Four();
  var more_post_weights = Four();
  var more_norm_weights = Four();
  if (ADD_BRANCH) { y = branch_at(row, at); }
  if (POST_NORM) { post_weights = post_at(at); }
  if (MORE) {
    more_x = hidden_at(row, more_at);
    more_norm_weights = weights_at(more_at);
    if (ADD_BRANCH) { more_y = branch_at(row, more_at); }
    if (POST_NORM) { more_post_weights = post_at(more_at); }
  }

  if (POST_NORM) {
    let post_factor = factor(workgroup_sum(lane, squares_of(y, i) + squares_of(more_y, more_i)));
    y = times(y, scaled(post_weights, post_factor));
    more_y = times(more_y, scaled(more_post_weights, post_factor));
  }
  x = plus(scaled(x, SCALE), y);
  more_x = plus(scaled(more_x, SCALE), more_y);
  // Uses the weights before the sum, so that no compiler moves their loads behind it.
  let weighted = times(x, norm_weights);
  let more_weighted = times(more_x, more_norm_weights);
  let norm_factor = factor(workgroup_sum(lane, squares_of(x, i) + squares_of(more_x, more_i)));
  store_four(lane, row, i, x, scaled(weighted, norm_factor));
  if (MORE) {
    store_four(lane, row, more_i, more_x, scaled(more_weighted, norm_factor));
  }
}
