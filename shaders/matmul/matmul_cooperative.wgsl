// y = x·Wᵀ in tiles, by the matrix units of a GPU, for many vectors. A workgroup computes a tile. In each
// step it decodes 64 columns of the tile's rows of W into workgroup memory as f16, and copies those of the
// vectors, which are f16 already (matmul/f16_activations.wgsl). Sixteen subgroups, or four, each compute a
// part of the tile's sums, as four cooperative matrices of f32. The columns of the next two steps are loaded
// meanwhile.
//
// Where subgroups are smaller than they may be, a workgroup has more of them; the additional ones only load.
// (A loop of one round says so, because naga does not take a condition on the subgroup for uniform.)
//
// f16 has a narrow range, so each row and each vector is divided by a power of two of its own
// (matmul/f16_scaling.wgsl), by which its sums are multiplied.
//
// With SPLIT_K, a workgroup computes a slice of the columns. The slices are consecutive in the dispatch, and
// y has the products of each slice, which matmul/split_k_sum.wgsl adds.

enable f16;
enable wgpu_cooperative_matrix;

#import matmul/weights.wgsl
#import matmul/result.wgsl
#import matmul/f16_scaling.wgsl
#import matmul/matrix_units.wgsl

// The result of matmul/f16_activations.wgsl: the vectors in f16, and behind them, in the same buffer, their
// scales.
@group(0) @binding(3) var<storage, read> x: array<Eight>;
@group(0) @binding(8) var<storage, read> x_scales: array<vec4<u32>>;
// The result of matmul/row_scales.wgsl.
@group(0) @binding(7) var<storage, read> row_scales: array<u32>;

// The subgroups that compute a tile form a square with a side of SUBGROUPS_BESIDE; each has 2 x 2 matrices.
const SUBGROUPS = SUBGROUPS_BESIDE * SUBGROUPS_BESIDE;
// The number of rows of a tile, and of vectors.
const TILE = 2u * SUBGROUPS_BESIDE * SIDE;
// Columns in a step, and parts.
const STEP = 64u;
const STEP_PARTS = 2u;
// The distance from a row, or a vector, to the next in workgroup memory: a few columns more than a step, so
// that neighbours start in different banks.
const STRIDE = STEP + 8u;
const BLOCK_PARTS = BLOCK_QUADS / 8u;

var<workgroup> row_numbers: array<Stored, TILE * STRIDE / EACH>;
var<workgroup> vector_numbers: array<Stored, TILE * STRIDE / EACH>;
// One matrix of sums of each of STORERS subgroups, vector by vector.
const STORERS = min(SUBGROUPS, 8u);
var<workgroup> sums: array<f32, STORERS * SIDE * SIDE>;

#ifdef QUADS
fn store_row_quad(at: u32, quad: vec4<f16>) { row_numbers[at / 4u] = quad; }
fn store_vector_quad(at: u32, quad: vec4<f16>) { vector_numbers[at / 4u] = quad; }
#else
fn store_row_quad(at: u32, quad: vec4<f16>) {
#repeat i 4
  row_numbers[at + $iu] = quad[$i];
#end
}

fn store_vector_quad(at: u32, quad: vec4<f16>) {
#repeat i 4
  vector_numbers[at + $iu] = quad[$i];
#end
}
#endif

fn store_vector(at: u32, x: Eight) {
  store_vector_quad(at, x.a);
  store_vector_quad(at + 4u, x.b);
}

// What an item has of a step: a unit of a row, of which it decodes 16 columns, and eight columns of each of
// two vectors.
struct Item {
  raw: Raw,
  x0: Eight,
  x1: Eight,
}

// An item, which a lane loads in each step. Consecutive items have consecutive halves of a row's parts, and
// consecutive eights of a vector's columns.
struct Own {
  i: u32,      // the number of the item
  block: u32,  // the first block of its row
  by: f32,     // the factor of its row
  x0: u32,     // the index in x of its first vector
  x1: u32,     // the index in x of its second vector
}

const HALF_PARTS = 2u * STEP_PARTS;
const EIGHTS = STEP / 8u;
const ITEMS_IN_TILE = HALF_PARTS * TILE;

fn eights_of(vector: u32, i: u32) -> u32 {
  return min(vector + i / EIGHTS, params.batch - 1u) * (params.cols / 8u);
}

fn own(row: u32, vector: u32, i: u32) -> Own {
  // Beyond the last row, the last one again.
  let bound_row = min(row + i / HALF_PARTS, params.rows - 1u);
  return Own(
    i,
    first_block(bound_row),
    down(row_scales[bound_row]),
    eights_of(vector, i),
    eights_of(vector, i + ITEMS_IN_TILE));
}

fn part_of(i: u32, step: u32) -> u32 { return step * STEP_PARTS + i % HALF_PARTS / 2u; }

// Loads an item of a step; after the last columns, the last ones again.
fn fetch_item(own: Own, step: u32) -> Item {
  let part = min(part_of(own.i, step), params.cols / 32u - 1u);
  let eight = min(step * EIGHTS + own.i % EIGHTS, params.cols / 8u - 1u);
  let raw = fetch(own.block + part / BLOCK_PARTS * INTERLEAVED_ROWS, unit_with(part % BLOCK_PARTS));
  return Item(raw, x[own.x0 + eight], x[own.x1 + eight]);
}

// The f16 1024 + n has n in its last bits. So two codes of a word become f16 at once, in the order 0, 2, 1,
// 3, which is also that of the vectors.
#if CODE_BITS > 6
const MARK = 0x64806480u;
const MARKED = f16(1152 + OFFSET);
#else
const MARK = 0x64006400u;
const MARKED = f16(1024 + OFFSET);
#endif

fn marked(word: u32) -> vec2<f16> { return vec2<f16>(unpack2x16float((word & 0x00ff00ffu) ^ MARK)); }

// Four weights as f16. The product with the scale is rounded to f16. With a min it is computed in f32:
// rounding the product to f16 could change it by more than a small weight.
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
  // Columns after the last become 0.
  let by = select(0.0, own.by, part < params.cols / 32u);
  let scale = by * select(w.scales.x, w.scales.y, is_last);
  let min = by * select(w.mins.x, w.mins.y, is_last);
  let at = i / HALF_PARTS * STRIDE + 16u * (i % HALF_PARTS);
#repeat j 4
  store_row_quad(at + 4u * $ju, weights(words[$j], scale, min));
#end
  store_vector(i / EIGHTS * STRIDE + 8u * (i % EIGHTS), item.x0);
  store_vector((i + ITEMS_IN_TILE) / EIGHTS * STRIDE + 8u * (i % EIGHTS), item.x1);
}

// The first row, and the first vector, of a subgroup within its tile.
fn first_row(subgroup: u32) -> u32 { return 2u * (subgroup / SUBGROUPS_BESIDE) * SIDE; }
fn first_vector(subgroup: u32) -> u32 { return 2u * (subgroup % SUBGROUPS_BESIDE) * SIDE; }

// Stores to y what the subgroups from `first` on have stored in `sums`: their matrix (`below`, `beside`),
// each 0 or 1.
fn store(slice: u32, row: u32, vector: u32, first: u32, below: u32, beside: u32, lane: u32) {
  workgroupBarrier();
  for (var i = lane; i < STORERS * SIDE * SIDE; i += WORKGROUP) {
    let subgroup = first + i / (SIDE * SIDE);
    let m = row + first_row(subgroup) + below * SIDE + i % SIDE;
    let n = vector + first_vector(subgroup) + beside * SIDE + i / SIDE % SIDE;
    if (m < params.rows && n < params.batch) {
      store_y(slice, n, params.first_row + m, sums[i] * up(row_scales[m]) * up(x_scales[scale_at(n)].x));
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
  // A slice has an even number of steps. The last ones may be shorter than the others, or empty.
  let split_k = uniform_params().split_k;
  slice = group.z % split_k;
  vector = group.z / split_k * TILE;
  let slice_steps = ((steps + 1u) / 2u + split_k - 1u) / split_k * 2u;
  first = slice * slice_steps;
  steps = min(first + slice_steps, steps);
#endif
#repeat m 2
#repeat n 2
  var s$m$n = Sums();
#end
#end
  // Two steps a round, whose items keep their registers while they are loaded: item0… of even steps, item1…
  // of odd ones.
#repeat i ITEMS
  let own$i = own(row, vector, lane + $iu * WORKGROUP);
#repeat odd 2
  var item$odd$i = fetch_item(own$i, first + $oddu);
#end
#end
  // With an odd number of steps, the last step of the last round multiplies by zeros.
  for (var step = first; step < steps; step += 2u) {
#repeat odd 2
#repeat i ITEMS
    store_item(own$i, item$odd$i, step + $oddu);
#end
    workgroupBarrier();
#repeat i ITEMS
    item$odd$i = fetch_item(own$i, step + ($oddu + 2u));
#end
    for (var i = subgroup; i < SUBGROUPS; i += SUBGROUPS) {
      let rows_at = first_row(i) * STRIDE;
      let vectors_at = first_vector(i) * STRIDE;
      for (var k = 0u; k < STEP; k += SIDE) {
        let r0 = coopLoadT<Rows>(&row_numbers[(rows_at + k) / EACH], STRIDE / EACH);
        let r1 = coopLoadT<Rows>(&row_numbers[(rows_at + SIDE * STRIDE + k) / EACH], STRIDE / EACH);
        let v0 = coopLoad<Vectors>(&vector_numbers[(vectors_at + k) / EACH], STRIDE / EACH);
        let v1 = coopLoad<Vectors>(&vector_numbers[(vectors_at + SIDE * STRIDE + k) / EACH], STRIDE / EACH);
#repeat m 2
#repeat n 2
        s$m$n = coopMultiplyAdd(r$m, v$n, s$m$n);
#end
#end
      }
    }
    workgroupBarrier();
#end
  }
  // Up to eight subgroups store their sums at a time.
  let sums_at = subgroup % STORERS * SIDE * SIDE;
#repeat m 2
#repeat n 2
  for (var i = subgroup; i < STORERS; i += SUBGROUPS) { coopStore(s$m$n, &sums[sums_at], SIDE); }
  store(slice, row, vector, 0u, $mu, $nu, lane);
#end
#end
#if SUBGROUPS_BESIDE > 2
#repeat m 2
#repeat n 2
  for (var i = subgroup - STORERS; i < STORERS; i += SUBGROUPS) { coopStore(s$m$n, &sums[sums_at], SIDE); }
  store(slice, row, vector, STORERS, $mu, $nu, lane);
#end
#end
#endif
}
