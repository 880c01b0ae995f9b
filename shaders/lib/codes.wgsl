// 32 weights as their codes, for kernels that multiply: a weight is scale·code - min, rounded twice as by the twin.

#import lib/decoder.wgsl

struct Codes {
  // Signed bytes, four weights a word: the first 16 weights, and the others.
  a: vec4<u32>,
  b: vec4<u32>,
  // Of the first 16, and of the others.
  scales: vec2<f32>,
  mins: vec2<f32>,
}

fn words_at(block: u32, n: u32) -> vec4<u32> {
  return vec4<u32>(word(block, n), word(block, n + 1u), word(block, n + 2u), word(block, n + 3u));
}

// The 16 bytes from the middle of word n on.
fn middle_words_at(block: u32, n: u32) -> vec4<u32> {
  let low = words_at(block, n);
  return (low >> vec4<u32>(16u)) | (vec4<u32>(low.yzw, word(block, n + 4u)) << vec4<u32>(16u));
}

// The low nibble of each byte, from bit `up` on.
fn nibbles_from(words: vec4<u32>, up: u32) -> vec4<u32> { return (words >> vec4<u32>(up)) & vec4<u32>(0x0f0f0f0fu); }

// Bit 4 of 16 bytes, from the low 16 bits in their order. The product moves bit i of four to bit 8i, and none onto another.
fn fifth_bits(bits: u32) -> vec4<u32> {
  let fours = (vec4<u32>(bits) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
  return ((fours * 0x00204081u) & vec4<u32>(0x01010101u)) << vec4<u32>(4u);
}

// Bytes below 128, each less the same byte of n.
fn less(bytes: vec4<u32>, n: u32) -> vec4<u32> {
  let sign = vec4<u32>(0x80808080u);
  return ((bytes | sign) - vec4<u32>(n)) ^ sign;
}

fn scale(block: u32, at: u32) -> f32 { return bitcast<f32>(scale_bits(block, at)); }

fn without_min(a: vec4<u32>, b: vec4<u32>, d: f32) -> Codes { return Codes(a, b, vec2<f32>(d), vec2<f32>(0.0)); }
