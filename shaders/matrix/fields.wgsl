// The matrix that is bound, in the layout of src/gpu/matrix/layout.rs: field by field, each with the values
// of all blocks. Fields of whole vec4s (16 bytes) come first, so that each vec4 is aligned.
//
// FIELDi_AT and FIELDi_SIZE count elements of field i: vec4s, words, f16s or bytes, the largest that divides
// its size. FIELDi_SIZE is the number of elements that a block has in the field, FIELDi_AT that in the fields
// before it.
//
// Blocks lie row by row. With INTERLEAVED_ROWS above 1, that many rows are interleaved block by block (in
// fields of vec4s, vec4 by vec4): a row's blocks are then INTERLEAVED_ROWS apart, and so are a block's vec4s.

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

// Defines `vec4_at` and `word_at`, and for elements of a field `load_vec4`, `load_two_vec4s`, `load_word`,
// `load_f16` and `load_byte`.
#import storage
