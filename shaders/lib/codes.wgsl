// 32 weights as their codes, for kernels that multiply: a weight is scale·(code - OFFSET) - min, rounded twice as by the twin.
//
// A format says how many of these parts it fetches at once and how far apart they are, what is taken off each code, and whether a part has one scale and
// minimum, or one for each half.

#import matrix/fields.wgsl
#import lib/exact.wgsl
#import lib/f16_value.wgsl

struct Codes {
  // Signed bytes, four weights a word: the first 16 weights, and the others.
  a: vec4<u32>,
  b: vec4<u32>,
  // Of the first 16, and of the others.
  scales: vec2<f32>,
  mins: vec2<f32>,
}

#ifdef CODES
// The parts of a unit are PART_STEP apart in their block, and those between them are other units'. The first of a unit's:
fn first_part(unit: u32) -> u32 { return unit / PART_STEP * (PART_STEP * UNIT_PARTS) + unit % PART_STEP; }

// The unit that has part `part` of a block, and as which of its own.
fn unit_with(part: u32) -> u32 { return part / (PART_STEP * UNIT_PARTS) * PART_STEP + part % PART_STEP; }
fn part_in_unit(part: u32) -> u32 { return part / PART_STEP % UNIT_PARTS; }
#endif

// The low nibble of each byte, from bit `up` on.
fn nibbles_from(words: vec4<u32>, up: u32) -> vec4<u32> { return (words >> vec4<u32>(up)) & vec4<u32>(0x0f0f0f0fu); }

// The two low bits of each byte, from bit `up` on.
fn pairs_from(words: vec4<u32>, up: u32) -> vec4<u32> { return (words >> vec4<u32>(up)) & vec4<u32>(0x03030303u); }

// The lowest bit of each byte, from bit `up` on.
fn bits_from(words: vec4<u32>, up: u32) -> vec4<u32> { return (words >> vec4<u32>(up)) & vec4<u32>(0x01010101u); }

// The lowest 16 bits in their order as bits 4 of 16 bytes. The product moves bit i of four to bit 8i, and none onto another.
fn fifth_bits(bits: u32) -> vec4<u32> {
  let fours = vec4<u32>(bits << 4u, bits, bits >> 4u, bits >> 8u) & vec4<u32>(0xf0u);
  return (fours * 0x00204081u) & vec4<u32>(0x10101010u);
}

// d·n, rounded by itself where the weight must be the twin's.
#ifdef INT8
fn multiple(d: f32, n: f32) -> f32 { return d * n; }
#else
fn multiple(d: f32, n: f32) -> f32 { return mul(d, n); }
#endif

fn without_min(a: vec4<u32>, b: vec4<u32>, d: f32) -> Codes { return Codes(a, b, vec2<f32>(d), vec2<f32>(0.0)); }
