// hidden = SCALE·hidden, plus the branch if ADD_BRANCH, or plus its norm if POST_NORM; normed = norm of
// hidden, with INT8 its int8 form too. A workgroup computes a token.

#import lib/workgroup_sum.wgsl
#ifdef INT8
#import llm/int8_by_1_lane.wgsl
#endif

@group(0) @binding(1) var<storage, read_write> hidden: array<f32>;
@group(0) @binding(2) var<storage, read> branch: array<f32>;
@group(0) @binding(3) var<storage, read> post: array<f32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> normed: array<f32>;

// 1 / rms, from the sum of squares.
fn factor(squares: f32) -> f32 { return 1.0 / sqrt(squares / f32(WIDTH) + EPSILON); }

fn quad(i: u32) -> vec4<f32> {
  return vec4<f32>(normed[i], normed[i + 1u], normed[i + 2u], normed[i + 3u]);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * WIDTH;
  var branch_factor = 1.0;
  if (POST_NORM) {
    var squares = 0.0;
    for (var i = lane; i < WIDTH; i += LANES) {
      let x = branch[row + i];
      squares += x * x;
    }
    branch_factor = factor(workgroup_sum(lane, squares));
  }
  var squares = 0.0;
  for (var i = lane; i < WIDTH; i += LANES) {
    var x = SCALE * hidden[row + i];
    if (POST_NORM) {
      x += branch[row + i] * (branch_factor * post[i]);
    } else if (ADD_BRANCH) {
      x += branch[row + i];
    }
    hidden[row + i] = x;
    squares += x * x;
  }
  let hidden_factor = factor(workgroup_sum(lane, squares));
  for (var i = lane; i < WIDTH; i += LANES) {
    normed[row + i] = hidden[row + i] * (hidden_factor * weights[i]);
  }
#ifdef INT8
  // Each lane has written floats of all blocks.
  storageBarrier();
  for (var at = row + 32u * lane; at < row + WIDTH; at += 32u * LANES) {
    store_int8_by_1_lane(
      at / 32u, quad(at), quad(at + 4u), quad(at + 8u), quad(at + 12u), quad(at + 16u), quad(at + 20u),
      quad(at + 24u), quad(at + 28u));
  }
#endif
}
