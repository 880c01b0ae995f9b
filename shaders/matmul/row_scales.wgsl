// Finds, for the matrix units (matmul/matmul_cooperative.wgsl), the bits of the largest magnitude that each
// row of a matrix may have, by its scales: once for a matrix. A workgroup has ROWS_AT_ONCE rows.

#import matmul/weights.wgsl

@group(0) @binding(4) var<storage, read_write> row_scales: array<u32>;

const BLOCK_PARTS = BLOCK_QUADS / 8u;

alias Partial = f32;
fn combine(a: f32, b: f32) -> f32 { return max(a, b); }
// Lanes that share a row.
const SHARERS = WORKGROUP / ROWS_AT_ONCE;
#import lib/reduce.wgsl

fn largest_weight(row: u32, part: u32) -> f32 {
  let in_block = part % BLOCK_PARTS;
  let block = first_block(row) + part / BLOCK_PARTS * INTERLEAVED_ROWS;
  let w = codes(fetch(block, unit_with(in_block)), part_in_unit(in_block));
  let size = max(abs(w.scales.x), abs(w.scales.y)) * (128.0 + abs(f32(OFFSET)));
  if (HAS_MIN) {
    return size + max(abs(w.mins.x), abs(w.mins.y));
  }
  return size;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  read_params();
  let row = (group.y * params.groups_per_row + group.x) * ROWS_AT_ONCE + lane / SHARERS;
  // Beyond the last row, this computes the last one again.
  let bound_row = min(row, params.rows - 1u);
  var size = 0.0;
  for (var part = lane % SHARERS; part < params.cols / 32u; part += SHARERS) {
    size = max(size, largest_weight(bound_row, part));
  }
  reduce(lane, size);
  if (lane % SHARERS == 0u && row < params.rows) {
    row_scales[row] = bitcast<u32>(partials[lane]);
  }
}
