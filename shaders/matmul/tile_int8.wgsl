// A tile in workgroup memory as codes, two parts of 32 columns at a time: products are exact in integers over 16 or 32 columns.

#import lib/dot.wgsl

// Parts that are loaded at once, and parts in a block.
const STEP_PARTS = 2u;
const BLOCK_PARTS = BLOCK_QUADS / 8u;

// Halves of the parts of each row, and of each vector.
var<workgroup> row_codes: array<vec4<u32>, 4u * TILE>;
var<workgroup> vector_codes: array<vec4<u32>, 4u * TILE>;
// Both scales and both mins of the parts of each row; the scale and both sums of those of each vector.
var<workgroup> row_scales: array<vec4<f32>, 2u * TILE>;
var<workgroup> vector_scales: array<vec4<u32>, 2u * TILE>;

fn step_count() -> u32 { return (uniform_params().cols / 32u + STEP_PARTS - 1u) / STEP_PARTS; }

// A lane loads a part of a row and a part of a vector.
fn load(row: u32, vector: u32, step: u32, lane: u32) {
  let i = lane / TILE;
  let n = lane % TILE;
  let parts = params.cols / 32u;
  let there = STEP_PARTS * step + i;
  let part = min(there, parts - 1u);
  let in_block = part % BLOCK_PARTS;
  let w = codes(fetch(row_start(row + n) + part / BLOCK_PARTS * INTERLEAVED_ROWS, unit_with(in_block)), part_in_unit(in_block));
  let x = activations(vector + n, part);
  row_codes[2u * i * TILE + n] = w.a;
  row_codes[(2u * i + 1u) * TILE + n] = w.b;
  row_scales[i * TILE + n] = vec4<f32>(w.scales, w.mins);
  vector_codes[2u * i * TILE + n] = x.a;
  vector_codes[(2u * i + 1u) * TILE + n] = x.b;
  // After the last part nothing is added.
  let scale = select(0.0, x.scale, there < parts);
  vector_scales[i * TILE + n] = vec4<u32>(bitcast<u32>(scale), bitcast<vec2<u32>>(x.sums), 0u);
}

// A part of four vectors.
struct Vectors {
  x0: Vector,
  x1: Vector,
  x2: Vector,
  x3: Vector,
}

struct Vector {
  a: vec4<u32>,
  b: vec4<u32>,
  scale: f32,
  sums: vec2<i32>,
}

fn vector_part(i: u32, n: u32) -> Vector {
  let head = vector_scales[i * TILE + n];
  return Vector(vector_codes[2u * i * TILE + n], vector_codes[(2u * i + 1u) * TILE + n], bitcast<f32>(head.x), bitcast<vec2<i32>>(head.yz));
}

fn vectors(i: u32, n: u32) -> Vectors {
  return Vectors(vector_part(i, n), vector_part(i, n + 16u), vector_part(i, n + 32u), vector_part(i, n + 48u));
}

// sum + what a part of a row gives with one vector.
fn add_one(sum: f32, a: vec4<u32>, b: vec4<u32>, w: vec4<f32>, x: Vector) -> f32 {
  var part = 0.0;
  if (ONE_SCALE) {
    part = w.x * f32(dot16(b, x.b, dot16(a, x.a, -OFFSET * (x.sums.x + x.sums.y))));
    if (HAS_MIN) {
      part = fma(-w.z, f32(x.sums.x + x.sums.y), part);
    }
  } else {
    part = fma(w.x, f32(dot16(a, x.a, -OFFSET * x.sums.x)), w.y * f32(dot16(b, x.b, -OFFSET * x.sums.y)));
    if (HAS_MIN) {
      part = fma(-w.z, f32(x.sums.x), fma(-w.w, f32(x.sums.y), part));
    }
  }
  return fma(x.scale, part, sum);
}

// The sums of row `n` of the tile with four vectors, and what part `i` gives.
fn add_row(sums: vec4<f32>, i: u32, n: u32, x: Vectors) -> vec4<f32> {
  let a = row_codes[2u * i * TILE + n];
  let b = row_codes[(2u * i + 1u) * TILE + n];
  let w = row_scales[i * TILE + n];
  return vec4<f32>(
    add_one(sums.x, a, b, w, x.x0), add_one(sums.y, a, b, w, x.x1), add_one(sums.z, a, b, w, x.x2), add_one(sums.w, a, b, w, x.x3));
}
