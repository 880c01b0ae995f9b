// Loads elements of a field in the layout of fields.

// The index of vec4 `n` of a block's field.
fn vec4_index(at: u32, size: u32, block: u32, n: u32) -> u32 {
#if INTERLEAVED_ROWS > 1
  let rows = INTERLEAVED_ROWS;
  return params.blocks * at + block / rows * (rows * size) + n * rows + block % rows;
#else
  return params.blocks * at + block * size + n;
#endif
}

fn load_vec4(at: u32, size: u32, block: u32, n: u32) -> vec4<u32> {
  return vec4_at(vec4_index(at, size, block, n));
}

// Vec4s 2·pair and 2·pair + 1: the second load shares the first one's address, at a constant offset.
fn load_two_vec4s(at: u32, size: u32, block: u32, pair: u32) -> TwoVec4s {
  let i = vec4_index(at, size, block, 2u * pair);
  return TwoVec4s(vec4_at(i), vec4_at(i + INTERLEAVED_ROWS));
}

fn load_f16(at: u32, size: u32, block: u32, n: u32) -> u32 {
  let i = params.blocks * at + block * size + n;
  return (late_word_at(i >> 1u) >> (16u * (i & 1u))) & 0xffffu;
}

fn load_byte(at: u32, size: u32, block: u32, n: u32) -> u32 {
  let i = params.blocks * at + block * size + n;
  return (late_word_at(i >> 2u) >> (8u * (i & 3u))) & 0xffu;
}
