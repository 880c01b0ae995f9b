// y = x·Wᵀ in tiles, by the matrix units of a GPU, for many vectors in eight bits: a workgroup decodes 32 columns of a tile of W into workgroup memory as f16, and the
// vectors' too, and four subgroups have a quarter of the tile's sums each, as four cooperative matrices of f32.
// Where subgroups are smaller than they may be, there are more than four; those do nothing then but load. (A loop of one turn says so, because naga takes no condition on
// the subgroup for uniform.)
//
// f16 ends at 65504 and loses bits below 2^-14. So each row and each vector is multiplied by a power of two that takes the largest it may have to 2^14, which the
// workgroup finds first, from the scales; and its sums are multiplied by the inverse.
enable f16;
enable wgpu_cooperative_matrix;

#import lib/product.wgsl

#ifdef SIDE8
const SIDE = 8u;
alias Rows = coop_mat8x8<f16, A>;
alias Vectors = coop_mat8x8<f16, B>;
alias Sums = coop_mat8x8<f32, C>;
#else
const SIDE = 16u;
alias Rows = coop_mat16x16<f16, A>;
alias Vectors = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;
#endif

// Rows, and vectors, of a tile.
const TILE = 4u * SIDE;
// From a row, or a vector, of a tile to the next: 32 columns, and as many more as let neighbours start in different banks.
const STRIDE = 40u;
const BLOCK_PARTS = BLOCK_QUADS / 8u;

// Stored four at a time, but on Metal, where naga loads matrices from single numbers alone.
#ifdef QUADS
alias Stored = vec4<f16>;
const EACH = 4u;
#else
alias Stored = f16;
const EACH = 1u;
#endif

var<workgroup> row_numbers: array<Stored, TILE * STRIDE / EACH>;
var<workgroup> vector_numbers: array<Stored, TILE * STRIDE / EACH>;
// The bits of the largest magnitude that each may have.
var<workgroup> row_sizes: array<atomic<u32>, TILE>;
var<workgroup> vector_sizes: array<atomic<u32>, TILE>;
// A matrix of each subgroup's sums, vector by vector.
var<workgroup> sums: array<f32, 4u * SIDE * SIDE>;

// The first block of row `i` of those that are bound; of the last where there is none.
fn row_start(i: u32) -> u32 { return first_block(min(i, params.rows - 1u)); }

fn row_part(row: u32, part: u32) -> Codes {
  let in_block = part % BLOCK_PARTS;
  return codes(fetch(row_start(row) + part / BLOCK_PARTS * BAND, unit_with(in_block)), part_in_unit(in_block));
}

fn largest_weight(w: Codes) -> f32 {
  let size = max(abs(w.scales.x), abs(w.scales.y)) * (128.0 + abs(f32(OFFSET)));
  if (HAS_MIN) {
    return size + max(abs(w.mins.x), abs(w.mins.y));
  }
  return size;
}

// The power of two that takes a number of these bits to 2^14 or more, below 2^15, and its inverse. Exponents that f32 has no inverse for count as the next.
fn exponent(size: u32) -> u32 { return clamp(size >> 23u, 20u, 254u); }
fn down(size: u32) -> f32 { return bitcast<f32>((268u - exponent(size)) << 23u); }
fn up(size: u32) -> f32 { return bitcast<f32>((exponent(size) - 14u) << 23u); }

// A lane goes through the same row's parts, and the same vector's.
fn find_sizes(row: u32, vector: u32, lane: u32) {
  let n = lane % TILE;
  if (lane < TILE) {
    atomicStore(&row_sizes[n], 0u);
    atomicStore(&vector_sizes[n], 0u);
  }
  workgroupBarrier();
  var largest = 0.0;
  var largest_scale = 0.0;
  let parts = params.cols / 32u;
  for (var part = lane / TILE; part < parts; part += WORKGROUP / TILE) {
    largest = max(largest, largest_weight(row_part(row + n, part)));
    largest_scale = max(largest_scale, activations(vector + n, part).scale);
  }
  atomicMax(&row_sizes[n], bitcast<u32>(largest));
  atomicMax(&vector_sizes[n], bitcast<u32>(127.0 * largest_scale));
  workgroupBarrier();
}

#ifdef QUADS
fn store_row_quad(at: u32, v: vec4<f32>) { row_numbers[at / 4u] = vec4<f16>(v); }
fn store_vector_quad(at: u32, v: vec4<f32>) { vector_numbers[at / 4u] = vec4<f16>(v); }
#else
fn store_row_quad(at: u32, v: vec4<f32>) {
  let halves = vec4<f16>(v);
  row_numbers[at] = halves.x;
  row_numbers[at + 1u] = halves.y;
  row_numbers[at + 2u] = halves.z;
  row_numbers[at + 3u] = halves.w;
}

fn store_vector_quad(at: u32, v: vec4<f32>) {
  let halves = vec4<f16>(v);
  vector_numbers[at] = halves.x;
  vector_numbers[at + 1u] = halves.y;
  vector_numbers[at + 2u] = halves.z;
  vector_numbers[at + 3u] = halves.w;
}
#endif

fn weights(word: u32, scale: f32, min: f32) -> vec4<f32> {
  let w = (vec4<f32>(unpack4xI8(word)) - f32(OFFSET)) * scale;
  if (HAS_MIN) {
    return w - min;
  }
  return w;
}

// Half of a row's part.
fn load_row(row: u32, n: u32, half: u32, part: u32) {
  let w = row_part(row + n, part);
  let by = down(atomicLoad(&row_sizes[n]));
  let words = select(w.a, w.b, half == 1u);
  let scale = by * select(w.scales.x, w.scales.y, half == 1u);
  let min = by * select(w.mins.x, w.mins.y, half == 1u);
  let at = n * STRIDE + 16u * half;
  store_row_quad(at, weights(words.x, scale, min));
  store_row_quad(at + 4u, weights(words.y, scale, min));
  store_row_quad(at + 8u, weights(words.z, scale, min));
  store_row_quad(at + 12u, weights(words.w, scale, min));
}

fn load_vector(vector: u32, n: u32, half: u32, part: u32) {
  let x = activations(vector + n, part);
  let scale = down(atomicLoad(&vector_sizes[n])) * x.scale;
  let words = select(x.a, x.b, half == 1u);
  let at = n * STRIDE + 16u * half;
  store_vector_quad(at, vec4<f32>(unpack4xI8(words.x)) * scale);
  store_vector_quad(at + 4u, vec4<f32>(unpack4xI8(words.y)) * scale);
  store_vector_quad(at + 8u, vec4<f32>(unpack4xI8(words.z)) * scale);
  store_vector_quad(at + 12u, vec4<f32>(unpack4xI8(words.w)) * scale);
}

// The first row, and the first vector, of a quarter of the tile, in its matrix `below`, `beside`: 0 or 1.
fn first_row(quarter: u32, below: u32) -> u32 { return (2u * (quarter / 2u) + below) * SIDE; }
fn first_vector(quarter: u32, beside: u32) -> u32 { return (2u * (quarter % 2u) + beside) * SIDE; }

// Stores what the subgroups have left in `sums`, of these matrices.
fn store(row: u32, vector: u32, below: u32, beside: u32, lane: u32) {
  for (var i = lane; i < 4u * SIDE * SIDE; i += WORKGROUP) {
    let quarter = i / (SIDE * SIDE);
    let m = first_row(quarter, below) + i % SIDE;
    let n = first_vector(quarter, beside) + i / SIDE % SIDE;
    if (row + m < params.rows && vector + n < params.batch) {
      let at = params.first_row + row + m;
      let sum = sums[i] * up(atomicLoad(&row_sizes[m])) * up(atomicLoad(&vector_sizes[n]));
#ifdef BIAS
      y[(vector + n) * params.all_rows + at] = sum + bias[at];
#else
      y[(vector + n) * params.all_rows + at] = sum;
#endif
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32) {
  let row = (group.y * params.groups_per_row + group.x) * TILE;
  let vector = group.z * TILE;
  find_sizes(row, vector, lane);
  let rows_at = first_row(subgroup, 0u) * STRIDE;
  let vectors_at = first_vector(subgroup, 0u) * STRIDE;
  var s00 = Sums();
  var s01 = Sums();
  var s10 = Sums();
  var s11 = Sums();
  let parts = params.cols / 32u;
  for (var part = 0u; part < parts; part++) {
    // Halves of rows, then of vectors.
    for (var i = lane / TILE; i < 4u; i += WORKGROUP / TILE) {
      if (i < 2u) {
        load_row(row, lane % TILE, i, part);
      } else {
        load_vector(vector, lane % TILE, i - 2u, part);
      }
    }
    workgroupBarrier();
    for (var quarter = subgroup; quarter < 4u; quarter += 4u) {
      for (var k = 0u; k < 32u; k += SIDE) {
        let r0 = coopLoadT<Rows>(&row_numbers[(rows_at + k) / EACH], STRIDE / EACH);
        let r1 = coopLoadT<Rows>(&row_numbers[(rows_at + SIDE * STRIDE + k) / EACH], STRIDE / EACH);
        let v0 = coopLoad<Vectors>(&vector_numbers[(vectors_at + k) / EACH], STRIDE / EACH);
        let v1 = coopLoad<Vectors>(&vector_numbers[(vectors_at + SIDE * STRIDE + k) / EACH], STRIDE / EACH);
        s00 = coopMultiplyAdd(r0, v0, s00);
        s01 = coopMultiplyAdd(r0, v1, s01);
        s10 = coopMultiplyAdd(r1, v0, s10);
        s11 = coopMultiplyAdd(r1, v1, s11);
      }
    }
    workgroupBarrier();
  }
  let sums_at = subgroup * SIDE * SIDE;
  for (var quarter = subgroup; quarter < 4u; quarter += 4u) {
    coopStore(s00, &sums[sums_at], SIDE);
  }
  workgroupBarrier();
  store(row, vector, 0u, 0u, lane);
  workgroupBarrier();
  for (var quarter = subgroup; quarter < 4u; quarter += 4u) {
    coopStore(s01, &sums[sums_at], SIDE);
  }
  workgroupBarrier();
  store(row, vector, 0u, 1u, lane);
  workgroupBarrier();
  for (var quarter = subgroup; quarter < 4u; quarter += 4u) {
    coopStore(s10, &sums[sums_at], SIDE);
  }
  workgroupBarrier();
  store(row, vector, 1u, 0u, lane);
  workgroupBarrier();
  for (var quarter = subgroup; quarter < 4u; quarter += 4u) {
    coopStore(s11, &sums[sums_at], SIDE);
  }
  workgroupBarrier();
  store(row, vector, 1u, 1u, lane);
}
