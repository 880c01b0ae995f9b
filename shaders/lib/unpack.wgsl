// Unpacks what lib/pack.wgsl packs.

// The codes of a quad, from 16 bytes of nibbles that start at an even byte of a block.
fn nibbles_at(block: u32, at: u32, quad: u32) -> vec4<u32> {
  let pairs = bytes_at(block, at + 4u * (quad & 3u));
  return unpack4xU8((pairs >> (quad & 4u)) & 0x0f0f0f0fu);
}

// The five-bit codes of a quad, from 4 bytes of fifth bits and 16 bytes of nibbles.
fn five_bits_at(block: u32, at: u32, quad: u32) -> vec4<u32> {
  let fifths = vec4<u32>(bytes_at(block, at) >> (4u * quad)) >> vec4<u32>(0u, 1u, 2u, 3u);
  return nibbles_at(block, at + 4u, quad) | ((fifths & vec4<u32>(1u)) << vec4<u32>(4u));
}
