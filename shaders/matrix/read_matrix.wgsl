// Writes a matrix as a file has it: whole blocks, row after row, from row `start_row` on. An invocation
// writes a word.

#import matrix/params.wgsl
#import matrix/file_block.wgsl

@group(0) @binding(4) var<storage, read_write> result: array<u32>;

// Bytes of a row in a file. A row of floats may end within a vec4, which is a block on the device.
fn row_bytes() -> u32 {
#ifdef FLOATS
  return params.cols * (BLOCK_BYTES / (4u * BLOCK_QUADS));
#else
  return params.row_blocks * BLOCK_BYTES;
#endif
}

fn file_byte(i: u32) -> u32 {
  let row = params.start_row + i / row_bytes();
  let at = i % row_bytes();
  var found = 0u;
  if (row < params.rows) {
    found = byte(first_block(row) + at / BLOCK_BYTES * INTERLEAVED_ROWS, at % BLOCK_BYTES);
  }
  return found;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  read_params();
  let i = invocation(group, lane);
  if (i < params.count) {
    let at = 4u * i;
    result[i] = file_byte(at) | (file_byte(at + 1u) << 8u)
      | (file_byte(at + 2u) << 16u) | (file_byte(at + 3u) << 24u);
  }
}
