// A matrix in a storage buffer, whose blocks lie as in a file, so that a load may start at any byte. It
// serves to measure what the layout of fields gains (`qmill bench --as-in-file`).

@group(0) @binding(1) var<storage, read> vec4s: array<vec4<u32>>;
// The same bytes as words.
@group(0) @binding(2) var<storage, read> words: array<u32>;

fn vec4_at(i: u32) -> vec4<u32> { return vec4s[i]; }
fn word_at(i: u32) -> u32 { return words[i]; }

// The byte of a block where a field begins in a file, for a field that begins after `start` bytes in the
// layout of fields.
fn field_from(start: u32) -> u32 {
  var at = FIELD0_FROM;
#repeat i 1 5
#ifdef FIELD$i
  if (start == FIELD$i_START) { at = FIELD$i_FROM; }
#endif
#end
  return at;
}

#import matrix/unaligned_word.wgsl

fn vec4_from_byte(at: u32) -> vec4<u32> {
  let i = at >> 2u;
  let w0 = word_at(i);
  let w1 = word_at(i + 1u);
  let w2 = word_at(i + 2u);
  let w3 = word_at(i + 3u);
  // The last vec4 may end with the buffer.
  let w4 = word_at(i + select(3u, 4u, (at & 3u) != 0u));
  return vec4<u32>(
    unaligned_word(w0, w1, at), unaligned_word(w1, w2, at), unaligned_word(w2, w3, at),
    unaligned_word(w3, w4, at));
}

fn load_vec4(at: u32, size: u32, block: u32, n: u32) -> vec4<u32> {
  return vec4_from_byte(block * BLOCK_BYTES + field_from(16u * at) + 16u * n);
}

fn load_two_vec4s(at: u32, size: u32, block: u32, pair: u32) -> TwoVec4s {
  return TwoVec4s(load_vec4(at, size, block, 2u * pair), load_vec4(at, size, block, 2u * pair + 1u));
}

fn load_word(at: u32, size: u32, block: u32, n: u32) -> u32 {
  let byte = block * BLOCK_BYTES + field_from(4u * at) + 4u * n;
  let i = byte >> 2u;
  return unaligned_word(word_at(i), word_at(i + select(0u, 1u, (byte & 3u) != 0u)), byte);
}

fn byte_at(at: u32) -> u32 { return (word_at(at >> 2u) >> (8u * (at & 3u))) & 0xffu; }

fn load_f16(at: u32, size: u32, block: u32, n: u32) -> u32 {
  let byte = block * BLOCK_BYTES + field_from(2u * at) + 2u * n;
#ifdef ODD_FIELDS
  return byte_at(byte) | (byte_at(byte + 1u) << 8u);
#else
  return (word_at(byte >> 2u) >> (8u * (byte & 2u))) & 0xffffu;
#endif
}

fn load_byte(at: u32, size: u32, block: u32, n: u32) -> u32 {
  return byte_at(block * BLOCK_BYTES + field_from(at) + n);
}
