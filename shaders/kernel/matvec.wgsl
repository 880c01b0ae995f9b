// y = x·Wᵀ for one to COLUMNS vectors: their products with four rows of W, by LANES lanes together.
//
// Each weight is read and decoded once for all vectors. The lanes divide the quads of a row among them, so that neighbours read neighbouring words, and
// add up what they have in workgroup memory. With one lane a row has one owner and there is no barrier: the form for adapters that compute on the CPU.
//
// Longest path of additions: a lane's weights of a row, then log2(LANES) steps.

#import lib/params.wgsl
#import lib/decoder.wgsl
#ifdef GRID
// The vectors of the format's codebook, as format/codebook.rs lays them out.
@group(0) @binding(4) var<storage, read> grid: array<u32>;
#endif
#import format

@group(0) @binding(3) var<storage, read_write> y: array<f32>;

#ifndef RAGGED
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
fn activations(vector: u32, quad: u32) -> vec4<f32> {
  // A vector that is not there computes what another does, and is not stored.
  return x[min(vector, params.batch - 1u) * (params.cols / 4u) + quad];
}
#else
// A row ends within a quad, after which come weights of 0.
@group(0) @binding(2) var<storage, read> x: array<f32>;
fn activation(vector: u32, column: u32) -> f32 {
  let value = x[min(vector, params.batch - 1u) * params.cols + min(column, params.cols - 1u)];
  return select(0.0, value, column < params.cols);
}
fn activations(vector: u32, quad: u32) -> vec4<f32> {
  return vec4<f32>(
    activation(vector, 4u * quad), activation(vector, 4u * quad + 1u), activation(vector, 4u * quad + 2u), activation(vector, 4u * quad + 3u));
}
#endif

// From one block of a lane to its next: where a block has fewer quads than there are lanes, they do several at once.
const BLOCK_STEP = max(LANES / BLOCK_QUADS, 1u);

// A quad of a row; of the last where there is none.
fn weights(row: u32, block: u32, quad: u32) -> vec4<f32> {
  return bitcast<vec4<f32>>(decode(min(row, params.rows - 1u) * params.row_blocks + block, quad));
}

// sums + x·w, w[i] being weight i of four rows.
fn multiply(sums: vec4<f32>, w: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> {
  return fma(w[3], vec4<f32>(x.w), fma(w[2], vec4<f32>(x.z), fma(w[1], vec4<f32>(x.y), fma(w[0], vec4<f32>(x.x), sums))));
}

fn store_one(vector: u32, row: u32, sum: f32) {
  if (vector < params.batch && row < params.rows) {
    y[vector * params.all_rows + params.first_row + row] = sum;
  }
}

fn store(vector: u32, row: u32, sums: vec4<f32>) {
  store_one(vector, row, sums.x);
  store_one(vector, row + 1u, sums.y);
  store_one(vector, row + 2u, sums.z);
  store_one(vector, row + 3u, sums.w);
}

#ifdef SHARED
// What each lane has of each vector's sums.
var<workgroup> parts: array<vec4<f32>, WORKGROUP * COLUMNS>;

fn keep(vector: u32, lane: u32, row: u32, sums: vec4<f32>) { parts[vector * WORKGROUP + lane] = sums; }

fn finish(lane: u32, row: u32) {
  for (var lanes = LANES / 2u; lanes > 0u; lanes >>= 1u) {
    workgroupBarrier();
    if (lane < lanes) {
      for (var vector = 0u; vector < COLUMNS; vector++) {
        let i = vector * WORKGROUP + lane;
        parts[i] = parts[i] + parts[i + lanes];
      }
    }
  }
  workgroupBarrier();
  if (lane < COLUMNS) {
    store(lane, row, parts[lane * WORKGROUP]);
  }
}
#else
fn keep(vector: u32, lane: u32, row: u32, sums: vec4<f32>) { store(vector, row, sums); }
fn finish(lane: u32, row: u32) {}
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let i = invocation(group, local);
  let lane = i % LANES;
  let row = i / LANES * 4u;
  let row_blocks = select(0u, params.row_blocks, i < params.count);
  var s0 = vec4<f32>(0.0);
  var s1 = s0;
  var s2 = s0;
  var s3 = s0;
  var s4 = s0;
  var s5 = s0;
  var s6 = s0;
  var s7 = s0;
  for (var block = lane / BLOCK_QUADS; block < row_blocks; block += BLOCK_STEP) {
    for (var quad = lane % BLOCK_QUADS; quad < BLOCK_QUADS; quad += LANES) {
      let w = transpose(mat4x4<f32>(
        weights(row, block, quad), weights(row + 1u, block, quad), weights(row + 2u, block, quad), weights(row + 3u, block, quad)));
      let at = block * BLOCK_QUADS + quad;
      s0 = multiply(s0, w, activations(0u, at));
      if (COLUMNS > 1u) {
        s1 = multiply(s1, w, activations(1u, at));
        s2 = multiply(s2, w, activations(2u, at));
        s3 = multiply(s3, w, activations(3u, at));
      }
      if (COLUMNS > 4u) {
        s4 = multiply(s4, w, activations(4u, at));
        s5 = multiply(s5, w, activations(5u, at));
        s6 = multiply(s6, w, activations(6u, at));
        s7 = multiply(s7, w, activations(7u, at));
      }
    }
  }
  keep(0u, lane, row, s0);
  if (COLUMNS > 1u) {
    keep(1u, lane, row, s1);
    keep(2u, lane, row, s2);
    keep(3u, lane, row, s3);
  }
  if (COLUMNS > 4u) {
    keep(4u, lane, row, s4);
    keep(5u, lane, row, s5);
    keep(6u, lane, row, s6);
    keep(7u, lane, row, s7);
  }
  finish(lane, row);
}
