// Blocks of the matrix for decoders, which address a byte by its offset in ggml's block.

#import matrix/fields.wgsl
// Defines `byte_index`.
#import block_bytes

fn byte(block: u32, at: u32) -> u32 {
  let i = byte_index(block, at);
  return (word_at(i >> 2u) >> (8u * (i & 3u))) & 0xffu;
}

// The 16 bits at an even byte of a block.
fn half(block: u32, at: u32) -> u32 {
#ifdef ODD_FIELDS
  return byte(block, at) | (byte(block, at + 1u) << 8u);
#else
  let i = byte_index(block, at);
  return (word_at(i >> 2u) >> (8u * (i & 2u))) & 0xffffu;
#endif
}

fn word(block: u32, n: u32) -> u32 { return half(block, 4u * n) | (half(block, 4u * n + 2u) << 16u); }
