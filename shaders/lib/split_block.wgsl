// The blocks of a matrix as decoders see them: by the place of a byte in ggml's block, wherever its field lies.

#import lib/split.wgsl

// Where byte `at` of a block's field of so many bytes is among those of all blocks.
fn field_byte(bytes: u32, block: u32, at: u32) -> u32 {
#if BAND > 1
  if (bytes % 16u == 0u) { return block / BAND * (BAND * bytes) + (at / 16u * BAND + block % BAND) * 16u + at % 16u; }
#endif
  return block * bytes + at;
}

// Where byte `at` of a block is: FIELDi_FROM is where its field begins in the block, FIELDi_START the bytes that fields before it have for each block.
fn byte_place(block: u32, at: u32) -> u32 {
#ifdef AS_IN_FILE
  return block * BLOCK_BYTES + at;
#else
  var at_device = params.blocks * FIELD0_START + field_byte(FIELD0_BYTES, block, at);
#ifdef FIELD1
  if (at >= FIELD1_FROM) { at_device = params.blocks * FIELD1_START + field_byte(FIELD1_BYTES, block, at - FIELD1_FROM); }
#endif
#ifdef FIELD2
  if (at >= FIELD2_FROM) { at_device = params.blocks * FIELD2_START + field_byte(FIELD2_BYTES, block, at - FIELD2_FROM); }
#endif
#ifdef FIELD3
  if (at >= FIELD3_FROM) { at_device = params.blocks * FIELD3_START + field_byte(FIELD3_BYTES, block, at - FIELD3_FROM); }
#endif
#ifdef FIELD4
  if (at >= FIELD4_FROM) { at_device = params.blocks * FIELD4_START + field_byte(FIELD4_BYTES, block, at - FIELD4_FROM); }
#endif
  return at_device;
#endif
}

fn byte(block: u32, at: u32) -> u32 {
  let i = byte_place(block, at);
  return (word_at(i >> 2u) >> (8u * (i & 3u))) & 0xffu;
}

// The 16 bits at an even byte of a block.
fn half(block: u32, at: u32) -> u32 {
#ifdef ODD_FIELDS
  return byte(block, at) | (byte(block, at + 1u) << 8u);
#else
  let i = byte_place(block, at);
  return (word_at(i >> 2u) >> (8u * (i & 2u))) & 0xffffu;
#endif
}

fn word(block: u32, n: u32) -> u32 { return half(block, 4u * n) | (half(block, 4u * n + 2u) << 16u); }
