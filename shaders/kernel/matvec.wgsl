// y = x·Wᵀ for one to COLUMNS vectors: their products with four rows of W, by LANES lanes together.
//
// Each weight is read and decoded once for all vectors. The lanes divide the units of a row among them, so that neighbours read what lies side by side, and
// add up what they have in workgroup memory. With one lane a row has one owner and there is no barrier: the form for adapters that compute on the CPU.
// A unit is 32 weights where the format gives their codes at once, and otherwise a quad.
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

// The sums of four rows with each vector.
struct Sums {
  v0: vec4<f32>,
  v1: vec4<f32>,
  v2: vec4<f32>,
  v3: vec4<f32>,
  v4: vec4<f32>,
  v5: vec4<f32>,
  v6: vec4<f32>,
  v7: vec4<f32>,
}

// sums + x·w, w[i] being weight i of four rows.
fn multiply(sums: vec4<f32>, w: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> {
  return fma(w[3], vec4<f32>(x.w), fma(w[2], vec4<f32>(x.z), fma(w[1], vec4<f32>(x.y), fma(w[0], vec4<f32>(x.x), sums))));
}

// Adds the products of a quad.
fn add_quad(before: Sums, w: mat4x4<f32>, quad: u32) -> Sums {
  var sums = before;
  sums.v0 = multiply(sums.v0, w, activations(0u, quad));
  if (COLUMNS > 1u) {
    sums.v1 = multiply(sums.v1, w, activations(1u, quad));
    sums.v2 = multiply(sums.v2, w, activations(2u, quad));
    sums.v3 = multiply(sums.v3, w, activations(3u, quad));
  }
  if (COLUMNS > 4u) {
    sums.v4 = multiply(sums.v4, w, activations(4u, quad));
    sums.v5 = multiply(sums.v5, w, activations(5u, quad));
    sums.v6 = multiply(sums.v6, w, activations(6u, quad));
    sums.v7 = multiply(sums.v7, w, activations(7u, quad));
  }
  return sums;
}

// A block of a row; of the last where there is none.
fn block_of(row: u32, block: u32) -> u32 { return min(row, params.rows - 1u) * params.row_blocks + block; }

#ifdef CODES
const UNIT_QUADS = 8u;

// What turns codes of four rows into weights.
struct Scales {
  scales: vec4<f32>,
  mins: vec4<f32>,
}

fn weights(q: vec4<f32>, s: Scales) -> vec4<f32> {
  // Fused with the difference, the product would not be the twin's, and of a small difference that could be all. Alone it may go on as it likes.
  if (HAS_MIN) {
    return opaque4(s.scales * q) - s.mins;
  }
  return s.scales * q;
}

// Adds the products of a quad, given by a word of codes of each row.
fn add_codes(sums: Sums, words: vec4<u32>, s: Scales, quad: u32) -> Sums {
  let q = transpose(mat4x4<f32>(
    vec4<f32>(unpack4xI8(words.x)), vec4<f32>(unpack4xI8(words.y)), vec4<f32>(unpack4xI8(words.z)), vec4<f32>(unpack4xI8(words.w))));
  return add_quad(sums, mat4x4<f32>(weights(q[0], s), weights(q[1], s), weights(q[2], s), weights(q[3], s)), quad);
}

fn add_unit(before: Sums, row: u32, block: u32, unit: u32) -> Sums {
  let r0 = codes(block_of(row, block), unit);
  let r1 = codes(block_of(row + 1u, block), unit);
  let r2 = codes(block_of(row + 2u, block), unit);
  let r3 = codes(block_of(row + 3u, block), unit);
  let first = Scales(
    vec4<f32>(r0.scales.x, r1.scales.x, r2.scales.x, r3.scales.x), vec4<f32>(r0.mins.x, r1.mins.x, r2.mins.x, r3.mins.x));
  let last = Scales(
    vec4<f32>(r0.scales.y, r1.scales.y, r2.scales.y, r3.scales.y), vec4<f32>(r0.mins.y, r1.mins.y, r2.mins.y, r3.mins.y));
  let quad = block * BLOCK_QUADS + unit * UNIT_QUADS;
  var sums = before;
  sums = add_codes(sums, vec4<u32>(r0.a.x, r1.a.x, r2.a.x, r3.a.x), first, quad);
  sums = add_codes(sums, vec4<u32>(r0.a.y, r1.a.y, r2.a.y, r3.a.y), first, quad + 1u);
  sums = add_codes(sums, vec4<u32>(r0.a.z, r1.a.z, r2.a.z, r3.a.z), first, quad + 2u);
  sums = add_codes(sums, vec4<u32>(r0.a.w, r1.a.w, r2.a.w, r3.a.w), first, quad + 3u);
  sums = add_codes(sums, vec4<u32>(r0.b.x, r1.b.x, r2.b.x, r3.b.x), last, quad + 4u);
  sums = add_codes(sums, vec4<u32>(r0.b.y, r1.b.y, r2.b.y, r3.b.y), last, quad + 5u);
  sums = add_codes(sums, vec4<u32>(r0.b.z, r1.b.z, r2.b.z, r3.b.z), last, quad + 6u);
  sums = add_codes(sums, vec4<u32>(r0.b.w, r1.b.w, r2.b.w, r3.b.w), last, quad + 7u);
  return sums;
}
#else
const UNIT_QUADS = 1u;

fn weights(row: u32, block: u32, quad: u32) -> vec4<f32> { return bitcast<vec4<f32>>(decode(block_of(row, block), quad)); }

fn add_unit(sums: Sums, row: u32, block: u32, unit: u32) -> Sums {
  let w = transpose(mat4x4<f32>(
    weights(row, block, unit), weights(row + 1u, block, unit), weights(row + 2u, block, unit), weights(row + 3u, block, unit)));
  return add_quad(sums, w, block * BLOCK_QUADS + unit);
}
#endif

const UNITS = BLOCK_QUADS / UNIT_QUADS;
// From one block of a lane to its next: where a block has fewer units than there are lanes, they do several at once.
const BLOCK_STEP = max(LANES / UNITS, 1u);

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
  var sums = Sums();
  for (var block = lane / UNITS; block < row_blocks; block += BLOCK_STEP) {
    for (var unit = lane % UNITS; unit < UNITS; unit += LANES) {
      sums = add_unit(sums, row, block, unit);
    }
  }
  keep(0u, lane, row, sums.v0);
  if (COLUMNS > 1u) {
    keep(1u, lane, row, sums.v1);
    keep(2u, lane, row, sums.v2);
    keep(3u, lane, row, sums.v3);
  }
  if (COLUMNS > 4u) {
    keep(4u, lane, row, sums.v4);
    keep(5u, lane, row, sums.v5);
    keep(6u, lane, row, sums.v6);
    keep(7u, lane, row, sums.v7);
  }
  finish(lane, row);
}
