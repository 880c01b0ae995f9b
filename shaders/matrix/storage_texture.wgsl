// A matrix in two textures, which llvmpipe reads faster than buffers: one has the fields of whole vec4s,
// VEC4_COLS in a row, the other the words of the other fields, WORD_COLS in a row.

@group(0) @binding(1) var vec4s: texture_storage_2d<rgba32uint, read>;
@group(0) @binding(2) var words: texture_storage_2d<r32uint, read>;

fn vec4_at(i: u32) -> vec4<u32> { return textureLoad(vec4s, vec2<u32>(i % VEC4_COLS, i / VEC4_COLS)); }

fn vec4_word_at(i: u32) -> u32 { return vec4_at(i >> 2u)[i & 3u]; }

// Word `i` of the matrix, which is in none of the vec4 fields (VEC4_WORDS words of each block).
fn late_word_at(i: u32) -> u32 {
  let at = i - params.blocks * VEC4_WORDS;
  return textureLoad(words, vec2<u32>(at % WORD_COLS, at / WORD_COLS)).x;
}

fn word_at(i: u32) -> u32 {
  if (i < params.blocks * VEC4_WORDS) { return vec4_word_at(i); }
  return late_word_at(i);
}

#import matrix/load_fields.wgsl

fn load_word(at: u32, size: u32, block: u32, n: u32) -> u32 {
  // `at` is a constant of the field, so this is decided when the shader is compiled.
  if (at < VEC4_WORDS) { return load_vec4(at / 4u, size / 4u, block, n >> 2u)[n & 3u]; }
  return late_word_at(params.blocks * at + block * size + n);
}
