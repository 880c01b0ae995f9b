// A matrix as src/gpu/split.rs lays it out: each field of all blocks together, fields of whole chunks of 16 bytes first, so that they load at once.
//
// FIELDi_AT and FIELDi_SIZE count what the field consists of: chunks, words, halves or bytes, the largest that divides it. _AT is how many of them all fields
// before it have for each block, _SIZE how many it has itself.

// A matrix's blocks lie row by row, or, in a band of BAND rows, in turn one of each; a row's are BAND apart. Of the fields of whole chunks, it is chunks that take
// turns: a block's are BAND apart too.
//
// The first of row `row`.
fn first_block(row: u32) -> u32 {
#if BAND > 1
  return row / BAND * (BAND * params.row_blocks) + row % BAND;
#else
  return row * params.row_blocks;
#endif
}

#ifdef TEXELS
// In textures: the fields of whole chunks, CHUNK_COLS in a row, and the others' words, WORD_COLS in a row.
@group(0) @binding(1) var chunks: texture_storage_2d<rgba32uint, read>;
@group(0) @binding(2) var words: texture_storage_2d<r32uint, read>;

fn chunk_at(i: u32) -> vec4<u32> { return textureLoad(chunks, vec2<u32>(i % CHUNK_COLS, i / CHUNK_COLS)); }

fn chunk_word_at(i: u32) -> u32 { return chunk_at(i >> 2u)[i & 3u]; }

// A word after the first CHUNK_WORDS of all blocks.
fn late_word_at(i: u32) -> u32 {
  let at = i - params.blocks * CHUNK_WORDS;
  return textureLoad(words, vec2<u32>(at % WORD_COLS, at / WORD_COLS)).x;
}

fn word_at(i: u32) -> u32 {
  if (i < params.blocks * CHUNK_WORDS) { return chunk_word_at(i); }
  return late_word_at(i);
}
#else
@group(0) @binding(1) var<storage, read> chunks: array<vec4<u32>>;
// The same bytes.
@group(0) @binding(2) var<storage, read> words: array<u32>;

fn chunk_at(i: u32) -> vec4<u32> { return chunks[i]; }
fn word_at(i: u32) -> u32 { return words[i]; }
fn late_word_at(i: u32) -> u32 { return word_at(i); }
#endif

#ifdef AS_IN_FILE
// Blocks as a file has them, one after another, to be measured beside: what is loaded starts anywhere. The byte where a field begins in a block, by where it begins here.
fn from_of(start: u32) -> u32 {
  var at = FIELD0_FROM;
#ifdef FIELD1
  if (start == FIELD1_START) { at = FIELD1_FROM; }
#endif
#ifdef FIELD2
  if (start == FIELD2_START) { at = FIELD2_FROM; }
#endif
#ifdef FIELD3
  if (start == FIELD3_START) { at = FIELD3_FROM; }
#endif
#ifdef FIELD4
  if (start == FIELD4_START) { at = FIELD4_FROM; }
#endif
  return at;
}

// The word at any byte, with the word where that begins and the next.
fn joined(low: u32, high: u32, at: u32) -> u32 {
  let shift = 8u * (at & 3u);
  return select((low >> shift) | (high << (32u - shift)), low, shift == 0u);
}

fn chunk_from(at: u32) -> vec4<u32> {
  let i = at >> 2u;
  let w0 = word_at(i);
  let w1 = word_at(i + 1u);
  let w2 = word_at(i + 2u);
  let w3 = word_at(i + 3u);
  // The last chunk may end with the buffer.
  let w4 = word_at(i + select(3u, 4u, (at & 3u) != 0u));
  return vec4<u32>(joined(w0, w1, at), joined(w1, w2, at), joined(w2, w3, at), joined(w3, w4, at));
}

fn chunk(at: u32, size: u32, block: u32, n: u32) -> vec4<u32> {
  return chunk_from(block * BLOCK_BYTES + from_of(16u * at) + 16u * n);
}

struct Chunks {
  a: vec4<u32>,
  b: vec4<u32>,
}

fn two_chunks(at: u32, size: u32, block: u32, pair: u32) -> Chunks {
  return Chunks(chunk(at, size, block, 2u * pair), chunk(at, size, block, 2u * pair + 1u));
}

fn word_in(at: u32, size: u32, block: u32, n: u32) -> u32 {
  let byte = block * BLOCK_BYTES + from_of(4u * at) + 4u * n;
  let i = byte >> 2u;
  return joined(word_at(i), word_at(i + select(0u, 1u, (byte & 3u) != 0u)), byte);
}

fn byte_from(at: u32) -> u32 { return (word_at(at >> 2u) >> (8u * (at & 3u))) & 0xffu; }

fn half_in(at: u32, size: u32, block: u32, n: u32) -> u32 {
  let byte = block * BLOCK_BYTES + from_of(2u * at) + 2u * n;
#ifdef ODD_FIELDS
  return byte_from(byte) | (byte_from(byte + 1u) << 8u);
#else
  return (word_at(byte >> 2u) >> (8u * (byte & 2u))) & 0xffffu;
#endif
}

fn byte_in(at: u32, size: u32, block: u32, n: u32) -> u32 { return byte_from(block * BLOCK_BYTES + from_of(at) + n); }
#else
// Where chunk `n` of a block is.
fn chunk_place(at: u32, size: u32, block: u32, n: u32) -> u32 {
#if BAND > 1
  return params.blocks * at + block / BAND * (BAND * size) + n * BAND + block % BAND;
#else
  return params.blocks * at + block * size + n;
#endif
}

fn chunk(at: u32, size: u32, block: u32, n: u32) -> vec4<u32> { return chunk_at(chunk_place(at, size, block, n)); }

// Chunks 2·pair and 2·pair + 1: an offset of its own lets the second load share the address of the first.
struct Chunks {
  a: vec4<u32>,
  b: vec4<u32>,
}

fn two_chunks(at: u32, size: u32, block: u32, pair: u32) -> Chunks {
  let i = chunk_place(at, size, block, 2u * pair);
  return Chunks(chunk_at(i), chunk_at(i + BAND));
}

fn word_in(at: u32, size: u32, block: u32, n: u32) -> u32 {
#ifdef TEXELS
  // Known to the compiler, which sees where the field is.
  if (at < CHUNK_WORDS) { return chunk(at / 4u, size / 4u, block, n >> 2u)[n & 3u]; }
#endif
  return late_word_at(params.blocks * at + block * size + n);
}

fn half_in(at: u32, size: u32, block: u32, n: u32) -> u32 {
  let i = params.blocks * at + block * size + n;
  return (late_word_at(i >> 1u) >> (16u * (i & 1u))) & 0xffffu;
}

fn byte_in(at: u32, size: u32, block: u32, n: u32) -> u32 {
  let i = params.blocks * at + block * size + n;
  return (late_word_at(i >> 2u) >> (8u * (i & 3u))) & 0xffu;
}
#endif
