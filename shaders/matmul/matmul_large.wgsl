// y = x·Wᵀ in tiles of 128 rows of W and 128 vectors, for many f32 or f16 vectors on a GPU. A workgroup of
// 256 lanes computes a tile. A lane multiplies 8 rows by 8 vectors, so that what it reads from workgroup
// memory is used eight times.
//
// A step is 32 columns. Lanes load them to registers while the step before is multiplied, and decode them to
// workgroup memory half by half: 16 columns of the tile are 16 KiB.
//
// Neighbouring lanes of a subgroup have 8 vectors by 4 rows, or more, so that they read neighbouring words.
//
// With SPLIT_K, a workgroup computes a slice of the columns. The slices are consecutive in the dispatch, and
// y has the products of each slice, which matmul/split_k_sum.wgsl adds.

#import matmul/product.wgsl
#import matmul/tile.wgsl
#import matmul/exact_quads.wgsl

const TILE = 128u;

// Four quads of each row, or vector: quad i of number 16·j + n is at [i][j][n]. As i and j are mostly
// constants, an address is that of n and an offset.
alias Quads = array<array<array<vec4<f32>, 16>, 8>, 4>;
var<workgroup> row_quads: Quads;
// Here quad i of vector 16·j + n is at [i][j][swizzled(i, n)].
var<workgroup> vector_quads: Quads;

// Eight lanes store quads of two vectors, and these go to different banks.
fn swizzled(i: u32, n: u32) -> u32 { return n ^ (2u * i); }

#ifdef CODES
// The weights of a step that a lane loads: the part of its row.
struct Loaded {
  raw: Raw,
}

fn load_weights(row: u32, step: u32, lane: u32) -> Loaded {
  let block = row_start(row + lane % TILE) + step / BLOCK_PARTS * INTERLEAVED_ROWS;
  return Loaded(fetch(block, unit_with(step % BLOCK_PARTS)));
}

// The weights of a step that a lane stores: eight columns of each half, as two words of codes.
struct Own {
  first: vec2<u32>,
  last: vec2<u32>,
  scales: vec2<f32>,
  mins: vec2<f32>,
}

fn own_of(loaded: Loaded, step: u32, lane: u32) -> Own {
  let w = codes(loaded.raw, part_in_unit(step % BLOCK_PARTS));
  let is_second = lane >= TILE;
  return Own(select(w.a.xy, w.a.zw, is_second), select(w.b.xy, w.b.zw, is_second), w.scales, w.mins);
}

fn store_weights(own: Own, half: u32, lane: u32) {
  let is_last = half == 1u;
  let words = select(own.first, own.last, is_last);
  let scale = select(own.scales.x, own.scales.y, is_last);
  let min = select(own.mins.x, own.mins.y, is_last);
  let i = 2u * (lane / TILE);
  let n = lane % TILE;
  row_quads[i][n / 16u][n % 16u] = weights(words.x, scale, min);
  row_quads[i + 1u][n / 16u][n % 16u] = weights(words.y, scale, min);
}
#else
// The weights of a step that a lane loads and stores: two quads of each half.
struct Own {
  a: vec4<u32>,
  b: vec4<u32>,
#if BLOCK_QUADS == 1
  c: vec4<u32>,
  d: vec4<u32>,
#endif
}
alias Loaded = Own;

// After the last block of a row come zeros.
fn block_at(start: u32, block: u32) -> vec4<u32> {
  let found = vec4_at(start + min(block, params.row_blocks - 1u));
  return select(vec4<u32>(), found, block < params.row_blocks);
}

fn load_weights(row: u32, step: u32, lane: u32) -> Loaded {
  let start = row_start(row + lane % TILE);
#if BLOCK_QUADS == 1
  let block = 8u * step + 2u * (lane / TILE);
  return Own(
    block_at(start, block), block_at(start, block + 1u), block_at(start, block + 4u),
    block_at(start, block + 5u));
#else
  let block = 4u * step + lane / TILE;
  return Own(block_at(start, block), block_at(start, block + 2u));
#endif
}

fn own_of(loaded: Loaded, step: u32, lane: u32) -> Own { return loaded; }

fn store_weights(own: Own, half: u32, lane: u32) {
  let is_last = half == 1u;
  let i = 2u * (lane / TILE);
  let n = lane % TILE;
#if BLOCK_QUADS == 1
  row_quads[i][n / 16u][n % 16u] = floats(select(own.a, own.c, is_last), 0u);
  row_quads[i + 1u][n / 16u][n % 16u] = floats(select(own.b, own.d, is_last), 0u);
#else
  let eight = select(own.a, own.b, is_last);
  row_quads[i][n / 16u][n % 16u] = floats(eight, 0u);
  row_quads[i + 1u][n / 16u][n % 16u] = floats(eight, 1u);
#endif
}
#endif

// The quads of half a step that a lane loads of two vectors, 64 apart.
struct LoadedVectors {
  a: vec4<f32>,
  b: vec4<f32>,
}

// Loads half `i` of the columns; after the last columns, the last ones again.
fn load_vectors(vector: u32, i: u32, lane: u32) -> LoadedVectors {
  let quad = min(4u * i + lane % 4u, (params.cols - 1u) / 4u);
  let n = vector + lane / 4u;
  return LoadedVectors(activations(n, quad), activations(n + 64u, quad));
}

fn store_vectors(x: LoadedVectors, lane: u32) {
  let i = lane % 4u;
  let n = lane / 4u;
  vector_quads[i][n / 16u][swizzled(i, n % 16u)] = x.a;
  vector_quads[i][n / 16u + 4u][swizzled(i, n % 16u)] = x.b;
}

// The sums of a row for four vectors, with the products of a quad added.
fn add_four(
  sums: vec4<f32>, w: vec4<f32>, x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(
    add_one(sums.x, w, x0), add_one(sums.y, w, x1), add_one(sums.z, w, x2), add_one(sums.w, w, x3));
}

// Stores the sums of a row for four vectors.
fn store_four(slice: u32, row: u32, vector: u32, sums: vec4<f32>) {
  store_one(slice, row, vector, sums.x);
  store_one(slice, row, vector + 16u, sums.y);
  store_one(slice, row, vector + 32u, sums.z);
  store_one(slice, row, vector + 48u, sums.w);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  read_params();
  let row = (group.y * params.groups_per_row + group.x) * TILE;
  let all_steps = (uniform_params().cols + 31u) / 32u;
#ifdef SPLIT_K
  // The last slices may be shorter than the others, or empty.
  let split_k = uniform_params().split_k;
  let slice = group.z % split_k;
  let vector = group.z / split_k * TILE;
  let slice_steps = (all_steps + split_k - 1u) / split_k;
  let first_step = slice * slice_steps;
  let steps = min(first_step + slice_steps, all_steps);
#else
  let slice = 0u;
  let vector = group.z * TILE;
  let first_step = 0u;
  let steps = all_steps;
#endif
  let vector_lane = lane % 8u + 8u * (lane / 32u % 2u);
  let row_lane = lane / 8u % 4u + 4u * (lane / 64u);
#repeat j 8
  var a$j = vec4<f32>();
  var b$j = vec4<f32>();
#end
  var loaded = load_weights(row, min(first_step, all_steps - 1u), lane);
  var x = load_vectors(vector, 2u * first_step, lane);
  for (var step = first_step; step < steps; step++) {
    let own = own_of(loaded, step, lane);
    for (var half = 0u; half < 2u; half++) {
      workgroupBarrier();
      store_weights(own, half, lane);
      store_vectors(x, lane);
      workgroupBarrier();
      if (half == 1u) {
        loaded = load_weights(row, min(step + 1u, all_steps - 1u), lane);
      }
      x = load_vectors(vector, 2u * step + half + 1u, lane);
      for (var i = 0u; i < 4u; i++) {
        let n = swizzled(i, vector_lane);
#repeat j 8
        let x$j = vector_quads[i][$j][n];
#end
#repeat j 8
        let w$j = row_quads[i][$j][row_lane];
        a$j = add_four(a$j, w$j, x0, x1, x2, x3);
        b$j = add_four(b$j, w$j, x4, x5, x6, x7);
#end
      }
    }
  }
#repeat j 8
  store_four(slice, row + row_lane + 16u * $ju, vector + vector_lane, a$j);
  store_four(slice, row + row_lane + 16u * $ju, vector + vector_lane + 64u, b$j);
#end
}
