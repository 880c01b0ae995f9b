// For the matrix units (matmul_cooperative.wgsl), the bits of the largest magnitude that each row of a matrix may have, by its scales: once for a matrix. A workgroup does
// ROWS_AT_ONCE rows.

#import matrix/params.wgsl
#import matrix/fields.wgsl
#ifdef GRID
#import lib/grid.wgsl
#endif
#import format

@group(0) @binding(4) var<storage, read_write> row_scales: array<u32>;

const BLOCK_PARTS = BLOCK_QUADS / 8u;
// Lanes that go through a row together.
const SHARERS = WORKGROUP / ROWS_AT_ONCE;

var<workgroup> largest: array<f32, WORKGROUP>;

fn largest_weight(row: u32, part: u32) -> f32 {
  let in_block = part % BLOCK_PARTS;
  let w = codes(fetch(first_block(row) + part / BLOCK_PARTS * INTERLEAVED_ROWS, unit_with(in_block)), part_in_unit(in_block));
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
  // A row that is not there computes what the last does.
  let there = min(row, params.rows - 1u);
  var size = 0.0;
  for (var part = lane % SHARERS; part < params.cols / 32u; part += SHARERS) {
    size = max(size, largest_weight(there, part));
  }
  largest[lane] = size;
  for (var lanes = SHARERS / 2u; lanes > 0u; lanes >>= 1u) {
    workgroupBarrier();
    if (lane % SHARERS < lanes) {
      largest[lane] = max(largest[lane], largest[lane + lanes]);
    }
  }
  workgroupBarrier();
  if (lane % SHARERS == 0u && row < params.rows) {
    row_scales[row] = bitcast<u32>(largest[lane]);
  }
}
