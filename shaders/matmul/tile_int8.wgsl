// A tile in workgroup memory as codes, two parts of 32 columns in a step. Products are exact in integers over
// 16 or 32 columns.

#import lib/dot.wgsl

// Parts in a step, and parts in a block.
const STEP_PARTS = 2u;
const BLOCK_PARTS = BLOCK_QUADS / 8u;

// 16 codes of each row, and of each vector: half h of part i of row n is at (2i + h)·TILE + n.
var<workgroup> row_codes: array<vec4<u32>, 4u * TILE>;
var<workgroup> vector_codes: array<vec4<u32>, 4u * TILE>;
// For each part, both scales and both mins of each row, and the scale and both sums of each vector.
var<workgroup> row_scales: array<vec4<f32>, 2u * TILE>;
var<workgroup> vector_scales: array<vec4<u32>, 2u * TILE>;

fn step_count() -> u32 { return (uniform_params().cols / 32u + STEP_PARTS - 1u) / STEP_PARTS; }

// A lane loads a part of a row and a part of a vector.
fn load(row: u32, vector: u32, step: u32, lane: u32) {
  let i = lane / TILE;
  let n = lane % TILE;
  let parts = params.cols / 32u;
  let step_part = STEP_PARTS * step + i;
  let part = min(step_part, parts - 1u);
  let in_block = part % BLOCK_PARTS;
  let block = row_start(row + n) + part / BLOCK_PARTS * INTERLEAVED_ROWS;
  let w = codes(fetch(block, unit_with(in_block)), part_in_unit(in_block));
  let x = activations(vector + n, part);
  row_codes[2u * i * TILE + n] = w.a;
  row_codes[(2u * i + 1u) * TILE + n] = w.b;
  row_scales[i * TILE + n] = vec4<f32>(w.scales, w.mins);
  vector_codes[2u * i * TILE + n] = x.a;
  vector_codes[(2u * i + 1u) * TILE + n] = x.b;
  // A scale of 0 leaves out what comes after the last part.
  let scale = select(0.0, x.scale, step_part < parts);
  vector_scales[i * TILE + n] = vec4<u32>(bitcast<u32>(scale), bitcast<vec2<u32>>(x.sums), 0u);
}

// A part of four vectors.
struct Vectors {
#repeat i 4
  x$i: Vector,
#end
}

struct Vector {
  a: vec4<u32>,
  b: vec4<u32>,
  scale: f32,
  sums: vec2<i32>,
}

fn vector_part(i: u32, n: u32) -> Vector {
  let head = vector_scales[i * TILE + n];
  return Vector(
    vector_codes[2u * i * TILE + n],
    vector_codes[(2u * i + 1u) * TILE + n],
    bitcast<f32>(head.x),
    bitcast<vec2<i32>>(head.yz));
}

fn vectors(i: u32, n: u32) -> Vectors {
  return Vectors(
    vector_part(i, n), vector_part(i, n + 16u), vector_part(i, n + 32u), vector_part(i, n + 48u));
}

// sum + the product of a part of a row and of a vector.
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

// The sums of row `n` of the tile for four vectors, with the products of part `i` added.
fn add_row(sums: vec4<f32>, i: u32, n: u32, x: Vectors) -> vec4<f32> {
  let a = row_codes[2u * i * TILE + n];
  let b = row_codes[(2u * i + 1u) * TILE + n];
  let w = row_scales[i * TILE + n];
  return vec4<f32>(
#repeat j 4
    add_one(sums[$j], a, b, w, x.x$j),
#end
  );
}
