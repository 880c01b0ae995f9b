// A tile in workgroup memory as f32, 32 columns in a step.

#import matmul/exact_quads.wgsl

const STEP_PARTS = 8u;

// The quads of each row, and of each vector: quad i of row n is at i·TILE + n.
var<workgroup> row_quads: array<vec4<f32>, 8u * TILE>;
var<workgroup> vector_quads: array<vec4<f32>, 8u * TILE>;

fn step_count() -> u32 { return (uniform_params().cols + 31u) / 32u; }

#ifdef CODES
// Loads the rows of the tile. A lane decodes 16 weights of a row's part.
fn load_row(row: u32, step: u32, lane: u32) {
  let n = lane % TILE;
  let half = lane / TILE;
  let in_block = step % BLOCK_PARTS;
  let block = row_start(row + n) + step / BLOCK_PARTS * INTERLEAVED_ROWS;
  let w = codes(fetch(block, unit_with(in_block)), part_in_unit(in_block));
  let words = select(w.a, w.b, half == 1u);
  let scale = select(w.scales.x, w.scales.y, half == 1u);
  let min = select(w.mins.x, w.mins.y, half == 1u);
  let at = 4u * half * TILE + n;
#repeat i 4
  row_quads[at + $iu * TILE] = weights(words[$i], scale, min);
#end
}
#else
const STEP_BLOCKS = 8u / BLOCK_QUADS;

// Loads the rows of the tile. A lane loads blocks; after the last block of a row come zeros.
fn load_row(row: u32, step: u32, lane: u32) {
  for (var i = lane; i < STEP_BLOCKS * TILE; i += WORKGROUP) {
    let n = i % TILE;
    let block = step * STEP_BLOCKS + i / TILE;
    let is_there = block < params.row_blocks;
    let found = vec4_at(row_start(row + n) + min(block, params.row_blocks - 1u));
    for (var quad = 0u; quad < BLOCK_QUADS; quad++) {
      let at = (i / TILE * BLOCK_QUADS + quad) * TILE + n;
      row_quads[at] = select(vec4<f32>(), floats(found, quad), is_there);
    }
  }
}
#endif

fn load(row: u32, vector: u32, step: u32, lane: u32) {
  load_row(row, step, lane);
  for (var i = lane; i < 8u * TILE; i += WORKGROUP) {
    let quad = 8u * step + i / TILE;
    vector_quads[i] = activations(vector + i % TILE, min(quad, (params.cols - 1u) / 4u));
  }
}

// A quad of four vectors.
struct Vectors {
#repeat i 4
  x$i: vec4<f32>,
#end
}

fn vectors(i: u32, n: u32) -> Vectors {
  let at = i * TILE + n;
  return Vectors(vector_quads[at], vector_quads[at + 16u], vector_quads[at + 32u], vector_quads[at + 48u]);
}

// The sums of row `n` of the tile for four vectors, with the products of quad `i` added.
fn add_row(sums: vec4<f32>, i: u32, n: u32, x: Vectors) -> vec4<f32> {
  let w = row_quads[i * TILE + n];
  return vec4<f32>(
#repeat j 4
    add_one(sums[$j], w, x.x$j),
#end
  );
}
