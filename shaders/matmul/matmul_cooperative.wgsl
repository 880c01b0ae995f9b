// y = x·Wᵀ in tiles, by the matrix units of a GPU, for many vectors: a workgroup decodes 64 columns of a tile of W into workgroup memory as f16, and copies the vectors',
// which are f16 already (matmul_halves.wgsl), and sixteen subgroups, or four, have a part of the tile's sums each, as four cooperative matrices of f32. The columns of the
// next two steps are on their way meanwhile.
// Where subgroups are smaller than they may be, there are more of them; those do nothing then but load. (A loop of one turn says so, because naga takes no condition on
// the subgroup for uniform.)
//
// f16 has a narrow range: each row and each vector is divided by a power of two of its own (matmul/f16_scaling.wgsl), by which its sums are multiplied.
//
// With SPLIT_K, a workgroup has a span of the columns, of several that lie side by side in the dispatch; y is then the sums of each span, which matmul_sum.wgsl adds.
enable f16;
enable wgpu_cooperative_matrix;

#import matrix/params.wgsl
#import matrix/fields.wgsl
#ifdef GRID
#import lib/grid.wgsl
#endif
#import format
#import matmul/f16_scaling.wgsl

struct Eight {
  a: vec4<f16>,
  b: vec4<f16>,
}

// What matmul_halves.wgsl has made: f16, and behind them, in the same buffer, sizes.
@group(0) @binding(3) var<storage, read> x: array<Eight>;
@group(0) @binding(8) var<storage, read> x_scales: array<vec4<u32>>;
// And matmul_row_sizes.wgsl.
@group(0) @binding(7) var<storage, read> row_scales: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#ifdef BIAS
@group(0) @binding(6) var<storage, read> bias: array<f32>;
#endif

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

// Subgroups, SUBGROUPS_BESIDE of them beside each other and as many below; each has two matrices by two.
const SUBGROUPS = SUBGROUPS_BESIDE * SUBGROUPS_BESIDE;
// Rows, and vectors, of a tile.
const TILE = 2u * SUBGROUPS_BESIDE * SIDE;
// Columns that are loaded at once, and parts of 32.
const STEP = 64u;
const STEP_PARTS = 2u;
// From a row, or a vector, of a tile to the next, in workgroup memory: as many columns more as let neighbours start in different banks.
const STRIDE = STEP + 8u;
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
// A matrix of the sums of so many subgroups, vector by vector.
const STORERS = min(SUBGROUPS, 8u);
var<workgroup> sums: array<f32, STORERS * SIDE * SIDE>;

#ifdef QUADS
fn store_row_quad(at: u32, quad: vec4<f16>) { row_numbers[at / 4u] = quad; }
fn store_vector_quad(at: u32, quad: vec4<f16>) { vector_numbers[at / 4u] = quad; }
#else
fn store_row_quad(at: u32, quad: vec4<f16>) {
  row_numbers[at] = quad.x;
  row_numbers[at + 1u] = quad.y;
  row_numbers[at + 2u] = quad.z;
  row_numbers[at + 3u] = quad.w;
}

fn store_vector_quad(at: u32, quad: vec4<f16>) {
  vector_numbers[at] = quad.x;
  vector_numbers[at + 1u] = quad.y;
  vector_numbers[at + 2u] = quad.z;
  vector_numbers[at + 3u] = quad.w;
}
#endif

fn store_vector(at: u32, x: Eight) {
  store_vector_quad(at, x.a);
  store_vector_quad(at + 4u, x.b);
}

// Half of a part of a row, of which a lane loads all, and twice eight columns of a vector.
struct Item {
  raw: Raw,
  x0: Eight,
  x1: Eight,
}

// What a lane has of each step: where its row begins and what that is divided by, and where its vectors are in x. Neighbours have halves of a row's parts, and eights of
// a vector, that lie side by side.
struct Own {
  i: u32,
  block: u32,
  by: f32,
  x0: u32,
  x1: u32,
}

const HALVES = 2u * STEP_PARTS;
const EIGHTS = STEP / 8u;
const ITEMS_IN_TILE = HALVES * TILE;

fn eights_of(vector: u32, i: u32) -> u32 { return min(vector + i / EIGHTS, params.batch - 1u) * (params.cols / 8u); }

fn own(row: u32, vector: u32, i: u32) -> Own {
  // Of some row where there is none.
  let there = min(row + i / HALVES, params.rows - 1u);
  return Own(i, first_block(there), down(row_scales[there]), eights_of(vector, i), eights_of(vector, i + ITEMS_IN_TILE));
}

fn part_of(i: u32, step: u32) -> u32 { return step * STEP_PARTS + i % HALVES / 2u; }

// The last again after the last.
fn fetch_item(own: Own, step: u32) -> Item {
  let part = min(part_of(own.i, step), params.cols / 32u - 1u);
  let eight = min(step * EIGHTS + own.i % EIGHTS, params.cols / 8u - 1u);
  return Item(fetch(own.block + part / BLOCK_PARTS * INTERLEAVED_ROWS, unit_with(part % BLOCK_PARTS)), x[own.x0 + eight], x[own.x1 + eight]);
}

// The f16 1024 + n has n in its last bits: the codes of a word in the order 0, 2, 1, 3, which is that of the vectors.
#if CODE_BITS > 6
const MARK = 0x64806480u;
const MARKED = f16(1152 + OFFSET);
#else
const MARK = 0x64006400u;
const MARKED = f16(1024 + OFFSET);
#endif

fn marked(word: u32) -> vec2<f16> { return vec2<f16>(unpack2x16float((word & 0x00ff00ffu) ^ MARK)); }

// Rounded once more by the scale, as f16; with a min, which would be rounded by more than a small weight is, in f32.
fn weights(word: u32, scale: f32, min: f32) -> vec4<f16> {
  let codes = vec4<f16>(marked(word), marked(word >> 8u)) - MARKED;
  if (HAS_MIN) {
    return vec4<f16>(vec4<f32>(codes) * scale - min);
  }
  return codes * f16(scale);
}

fn store_item(own: Own, item: Item, step: u32) {
  let i = own.i;
  if (i >= ITEMS_IN_TILE) {
    return;
  }
  let is_last = i % 2u == 1u;
  let part = part_of(i, step);
  let w = codes(item.raw, part_in_unit(part % BLOCK_PARTS));
  let words = select(w.a, w.b, is_last);
  // Of columns after the last, nothing is added.
  let by = select(0.0, own.by, part < params.cols / 32u);
  let scale = by * select(w.scales.x, w.scales.y, is_last);
  let min = by * select(w.mins.x, w.mins.y, is_last);
  let at = i / HALVES * STRIDE + 16u * (i % HALVES);
  store_row_quad(at, weights(words.x, scale, min));
  store_row_quad(at + 4u, weights(words.y, scale, min));
  store_row_quad(at + 8u, weights(words.z, scale, min));
  store_row_quad(at + 12u, weights(words.w, scale, min));
  store_vector(i / EIGHTS * STRIDE + 8u * (i % EIGHTS), item.x0);
  store_vector((i + ITEMS_IN_TILE) / EIGHTS * STRIDE + 8u * (i % EIGHTS), item.x1);
}

// The first row, and the first vector, of what a subgroup has.
fn first_row(subgroup: u32) -> u32 { return 2u * (subgroup / SUBGROUPS_BESIDE) * SIDE; }
fn first_vector(subgroup: u32) -> u32 { return 2u * (subgroup % SUBGROUPS_BESIDE) * SIDE; }

// Stores what the subgroups from `first` on have left in `sums`, of their matrices `below`, `beside`: 0 or 1.
fn store(slice: u32, row: u32, vector: u32, first: u32, below: u32, beside: u32, lane: u32) {
  workgroupBarrier();
  for (var i = lane; i < STORERS * SIDE * SIDE; i += WORKGROUP) {
    let subgroup = first + i / (SIDE * SIDE);
    let m = row + first_row(subgroup) + below * SIDE + i % SIDE;
    let n = vector + first_vector(subgroup) + beside * SIDE + i / SIDE % SIDE;
    if (m < params.rows && n < params.batch) {
      let at = params.first_row + m;
      let sum = sums[i] * up(row_scales[m]) * up(x_scales[scale_at(n)].x);
#ifdef SPLIT_K
      y[(slice * params.batch + n) * params.all_rows + at] = sum;
#else
#ifdef BIAS
      y[n * params.all_rows + at] = sum + bias[at];
#else
      y[n * params.all_rows + at] = sum;
#endif
#endif
    }
  }
  workgroupBarrier();
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32) {
  read_params();
  let row = (group.y * params.groups_per_row + group.x) * TILE;
  var slice = 0u;
  var vector = group.z * TILE;
  var first = 0u;
  var steps = (uniform_params().cols + STEP - 1u) / STEP;
#ifdef SPLIT_K
  // Two steps at a time; the last spans may be shorter than the others, or nothing.
  let split_k = uniform_params().split_k;
  slice = group.z % split_k;
  vector = group.z / split_k * TILE;
  let slice_steps = ((steps + 1u) / 2u + split_k - 1u) / split_k * 2u;
  first = slice * slice_steps;
  steps = min(first + slice_steps, steps);
#endif
  var s00 = Sums();
  var s01 = Sums();
  var s10 = Sums();
  var s11 = Sums();
  let own0 = own(row, vector, lane);
  var item0 = fetch_item(own0, first);
  var late0 = fetch_item(own0, first + 1u);
#if ITEMS > 1
  let own1 = own(row, vector, lane + WORKGROUP);
  var item1 = fetch_item(own1, first);
  var late1 = fetch_item(own1, first + 1u);
#endif
  // Two steps a turn: what is on its way keeps its registers. Where their number is odd, the last multiplies by zeros.
  for (var step = first; step < steps; step += 2u) {
    store_item(own0, item0, step);
#if ITEMS > 1
    store_item(own1, item1, step);
#endif
    workgroupBarrier();
    item0 = fetch_item(own0, step + 2u);
#if ITEMS > 1
    item1 = fetch_item(own1, step + 2u);
#endif
    for (var i = subgroup; i < SUBGROUPS; i += SUBGROUPS) {
      let rows_at = first_row(i) * STRIDE;
      let vectors_at = first_vector(i) * STRIDE;
      for (var k = 0u; k < STEP; k += SIDE) {
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
    store_item(own0, late0, step + 1u);
#if ITEMS > 1
    store_item(own1, late1, step + 1u);
#endif
    workgroupBarrier();
    late0 = fetch_item(own0, step + 3u);
#if ITEMS > 1
    late1 = fetch_item(own1, step + 3u);
#endif
    for (var i = subgroup; i < SUBGROUPS; i += SUBGROUPS) {
      let rows_at = first_row(i) * STRIDE;
      let vectors_at = first_vector(i) * STRIDE;
      for (var k = 0u; k < STEP; k += SIDE) {
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
  // Eight subgroups at a time.
  let sums_at = subgroup % STORERS * SIDE * SIDE;
  for (var i = subgroup; i < STORERS; i += SUBGROUPS) { coopStore(s00, &sums[sums_at], SIDE); }
  store(slice, row, vector, 0u, 0u, 0u, lane);
  for (var i = subgroup; i < STORERS; i += SUBGROUPS) { coopStore(s01, &sums[sums_at], SIDE); }
  store(slice, row, vector, 0u, 0u, 1u, lane);
  for (var i = subgroup; i < STORERS; i += SUBGROUPS) { coopStore(s10, &sums[sums_at], SIDE); }
  store(slice, row, vector, 0u, 1u, 0u, lane);
  for (var i = subgroup; i < STORERS; i += SUBGROUPS) { coopStore(s11, &sums[sums_at], SIDE); }
  store(slice, row, vector, 0u, 1u, 1u, lane);
#if SUBGROUPS_BESIDE > 2
  for (var i = subgroup - STORERS; i < STORERS; i += SUBGROUPS) { coopStore(s00, &sums[sums_at], SIDE); }
  store(slice, row, vector, STORERS, 0u, 0u, lane);
  for (var i = subgroup - STORERS; i < STORERS; i += SUBGROUPS) { coopStore(s01, &sums[sums_at], SIDE); }
  store(slice, row, vector, STORERS, 0u, 1u, lane);
  for (var i = subgroup - STORERS; i < STORERS; i += SUBGROUPS) { coopStore(s10, &sums[sums_at], SIDE); }
  store(slice, row, vector, STORERS, 1u, 0u, lane);
  for (var i = subgroup - STORERS; i < STORERS; i += SUBGROUPS) { coopStore(s11, &sums[sums_at], SIDE); }
  store(slice, row, vector, STORERS, 1u, 1u, lane);
#endif
}
