// The matrix that is bound, in the layout of src/gpu/matrix/layout.rs: each field of all blocks together, fields of
// whole vec4s (16 bytes) first, so that each is loaded at once.
//
// FIELDi_AT and FIELDi_SIZE count the field's elements: vec4s, words, f16s or bytes, the largest that divides it.
// _AT is how many of them the fields before it have for each block, _SIZE how many it has itself.

// Blocks lie row by row. With INTERLEAVED_ROWS above 1, as many rows take turns block by block (their vec4 fields
// vec4 by vec4): a row's blocks are then INTERLEAVED_ROWS apart, and so are a block's vec4s.
//
// The first block of row `row`.
fn first_block(row: u32) -> u32 {
#if INTERLEAVED_ROWS > 1
  return row / INTERLEAVED_ROWS * (INTERLEAVED_ROWS * params.row_blocks) + row % INTERLEAVED_ROWS;
#else
  return row * params.row_blocks;
#endif
}

struct TwoVec4s {
  a: vec4<u32>,
  b: vec4<u32>,
}

// `vec4_at` and `word_at`, and of a field `load_vec4`, `load_two_vec4s`, `load_word`, `load_f16`, `load_byte`.
#import storage
