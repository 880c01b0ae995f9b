// Looks up rows of a matrix: decodes row row_ids[i] into row i of the result. An invocation decodes four
// weights.
//
// A row that is not bound here is skipped: another dispatch has it.

#import matrix/params.wgsl
#import lib/decoder.wgsl
#ifdef GRID
#import lib/grid.wgsl
#endif
#import format

@group(0) @binding(3) var<storage, read> row_ids: array<u32>;

#ifndef RAGGED
@group(0) @binding(4) var<storage, read_write> result: array<vec4<u32>>;
fn store(i: u32, quad: u32, bits: vec4<u32>) { result[i * (params.cols / 4u) + quad] = bits; }
#else
// A row ends within a quad.
@group(0) @binding(4) var<storage, read_write> result: array<u32>;
fn put(i: u32, column: u32, bits: u32) {
  if (column < params.cols) {
    result[i * params.cols + column] = bits;
  }
}
fn store(i: u32, quad: u32, bits: vec4<u32>) {
  put(i, 4u * quad, bits.x);
  put(i, 4u * quad + 1u, bits.y);
  put(i, 4u * quad + 2u, bits.z);
  put(i, 4u * quad + 3u, bits.w);
}
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  read_params();
  let at = invocation(group, lane);
  if (at < params.count) {
    let row_quads = params.row_blocks * BLOCK_QUADS;
    let i = at / row_quads;
    let quad = at % row_quads;
    let row = row_ids[i] - params.first_row;
    // An id below the first row wraps around, to far beyond the last.
    if (row < params.rows) {
      store(i, quad, decode(first_block(row) + quad / BLOCK_QUADS * INTERLEAVED_ROWS, quad % BLOCK_QUADS));
    }
  }
}
