// Codes of less than a byte, in the order most formats of 32 weights keep them: byte j has weight j low and weight j + 16 high.

// Four bytes of two codes' low bits each.
fn nibbles(low: vec4<u32>, high: vec4<u32>) -> u32 {
  return bytes((low & vec4<u32>(15u)) | (high << vec4<u32>(4u)));
}

// The lowest bits of four numbers as one, the first lowest.
fn lowest_bits(v: vec4<u32>) -> u32 {
  let b = v & vec4<u32>(1u);
  return b.x | (b.y << 1u) | (b.z << 2u) | (b.w << 3u);
}

// The fifth bits of four codes.
fn fifth_bits(codes: vec4<u32>) -> u32 { return lowest_bits(codes >> vec4<u32>(4u)); }
