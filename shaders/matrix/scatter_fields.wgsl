// Copies one field of ggml's blocks, which lie any number of bytes apart, into a matrix in the layout of
// src/gpu/matrix/layout.rs. An invocation writes a word.

struct Params {
  count: u32,             // words to write
  zero: u32,              // 0
  groups_per_row: u32,    // workgroups in one row of the dispatch
  blocks: u32,            // blocks in the source
  stride: u32,            // bytes from one block of the source to the next
  offset: u32,            // byte of a block where the field begins
  bytes: u32,             // bytes of the field in a block
  first: u32,             // the first word to write
  skip: u32,              // bytes of that word which belong to blocks before `matrix_block`
  matrix_block: u32,      // the block of the matrix whose field begins there
  source_block: u32,      // the first block of the source, counted row by row
  row_blocks: u32,        // blocks in a row of the matrix
  interleaved_rows: u32,  // rows that are interleaved block by block
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read_write> matrix: array<u32>;

// The source's index of block `matrix_block` + i; at least `blocks` where the source does not have it.
fn source_of(i: u32) -> u32 {
  let block = params.matrix_block + i;
  let rows = params.interleaved_rows;
  let group_blocks = rows * params.row_blocks;
  let row = block / group_blocks * rows + block % rows;
  return row * params.row_blocks + block % group_blocks / rows - params.source_block;
}

#import matrix/unaligned_word.wgsl

// The four bytes from byte `at` on.
fn word_at(at: u32) -> u32 {
  let i = at >> 2u;
  return unaligned_word(source[i], source[min(i + 1u, arrayLength(&source) - 1u)], at);
}

// `word` with byte `i` of the field, counted over the blocks to write, in the byte from bit `up` on. The word
// keeps its byte where the source does not have that block, and where `i` is negative, which wraps around.
fn with_byte(word: u32, i: u32, up: u32) -> u32 {
  let block = source_of(i / params.bytes);
  let at = min(block, params.blocks - 1u) * params.stride + params.offset + i % params.bytes;
  let byte = (source[at >> 2u] >> (8u * (at & 3u))) & 0xffu;
  return select(word, (word & ~(0xffu << up)) | (byte << up), block < params.blocks && i < 0x80000000u);
}

fn field_word(i: u32) -> u32 {
  if (params.bytes % 4u == 0u) {
    // Rows are interleaved by vec4s where the field has whole vec4s, or else by whole fields.
    let rows = params.interleaved_rows;
    let words = params.bytes / 4u;
    let unit = select(words, 4u, words % 4u == 0u);
    let in_group = i % (rows * words);
    let block = source_of(i / (rows * words) * rows + in_group / unit % rows);
    if (block >= params.blocks) { return matrix[params.first + i]; }
    return word_at(
      block * params.stride + params.offset + 4u * (in_group / (rows * unit) * unit + in_group % unit));
  }
  let at = 4u * i - params.skip;
  let old = matrix[params.first + i];
  return with_byte(with_byte(with_byte(with_byte(old, at, 0u), at + 1u, 8u), at + 2u, 16u), at + 3u, 24u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * params.groups_per_row + group.x) * WORKGROUP + lane;
  if (i < params.count) {
    matrix[params.first + i] = field_word(i);
  }
}
