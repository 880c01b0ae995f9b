// A matrix as src/gpu/split.rs lays it out: each field of all blocks together, fields of whole chunks of 16 bytes first, so that they load at once.
//
// FIELDi_AT and FIELDi_SIZE count what the field consists of: chunks, words, halves or bytes, the largest that divides it. _AT is how many of them all fields
// before it have for each block, _SIZE how many it has itself.

#ifdef TEXELS
// In a texture, TEXEL_COLS chunks in a row of it.
@group(0) @binding(1) var chunks: texture_storage_2d<rgba32uint, read>;

fn chunk_at(i: u32) -> vec4<u32> { return textureLoad(chunks, vec2<u32>(i % TEXEL_COLS, i / TEXEL_COLS)); }
fn word_at(i: u32) -> u32 { return chunk_at(i >> 2u)[i & 3u]; }
#else
@group(0) @binding(1) var<storage, read> chunks: array<vec4<u32>>;
// The same bytes.
@group(0) @binding(2) var<storage, read> words: array<u32>;

fn chunk_at(i: u32) -> vec4<u32> { return chunks[i]; }
fn word_at(i: u32) -> u32 { return words[i]; }
#endif

fn chunk(at: u32, size: u32, block: u32, n: u32) -> vec4<u32> { return chunk_at(params.blocks * at + block * size + n); }

// Chunks 2·pair and 2·pair + 1: an offset of its own lets the second load share the address of the first.
struct Chunks {
  a: vec4<u32>,
  b: vec4<u32>,
}

fn two_chunks(at: u32, size: u32, block: u32, pair: u32) -> Chunks {
  let i = params.blocks * at + block * size + 2u * pair;
  return Chunks(chunk_at(i), chunk_at(i + 1u));
}

fn word_in(at: u32, size: u32, block: u32, n: u32) -> u32 { return word_at(params.blocks * at + block * size + n); }

fn half_in(at: u32, size: u32, block: u32, n: u32) -> u32 {
  let i = params.blocks * at + block * size + n;
  return (word_at(i >> 1u) >> (16u * (i & 1u))) & 0xffffu;
}

fn byte_in(at: u32, size: u32, block: u32, n: u32) -> u32 {
  let i = params.blocks * at + block * size + n;
  return (word_at(i >> 2u) >> (8u * (i & 3u))) & 0xffu;
}
