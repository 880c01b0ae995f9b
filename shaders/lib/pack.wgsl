// Packs codes of less than a byte in the order of most formats of 32 weights: byte j has weight j in the low
// nibble and weight j + 16 in the high one.

// Four bytes with the low four bits of two codes each.
fn nibbles(low: vec4<u32>, high: vec4<u32>) -> u32 {
  return bytes((low & vec4<u32>(15u)) | (high << vec4<u32>(4u)));
}

// The lowest bits of four numbers, as the bits of one number, the first lowest.
fn lowest_bits(v: vec4<u32>) -> u32 {
  let b = v & vec4<u32>(1u);
  return b.x | (b.y << 1u) | (b.z << 2u) | (b.w << 3u);
}

// The fifth bits of four codes.
fn fifth_bits(codes: vec4<u32>) -> u32 { return lowest_bits(codes >> vec4<u32>(4u)); }
