// A part (32 weights) as codes, for kernels that multiply. A weight is scale·(code - OFFSET) - min, rounded
// twice, as by the CPU reference.
//
// A format defines how many parts it fetches at once and how far apart they are (UNIT_PARTS, PART_STEP), what
// is subtracted from each code (OFFSET), and whether a part has one scale and min (ONE_SCALE), or one for
// each 16 weights.

#import matrix/fields.wgsl
#import lib/exact.wgsl
#import lib/f16_value.wgsl

struct Codes {
  // Signed bytes, four in a word: of the first 16 weights, and of the last 16.
  a: vec4<u32>,
  b: vec4<u32>,
  // The scales and mins of the first 16 weights, and of the last 16.
  scales: vec2<f32>,
  mins: vec2<f32>,
}

#ifdef CODES
// The first part of a unit. The parts of a unit are PART_STEP apart in their block; those between them belong
// to other units.
fn first_part(unit: u32) -> u32 { return unit / PART_STEP * (PART_STEP * UNIT_PARTS) + unit % PART_STEP; }

// The unit that has part `part` of a block.
fn unit_with(part: u32) -> u32 { return part / (PART_STEP * UNIT_PARTS) * PART_STEP + part % PART_STEP; }

// The number of part `part` of a block among the parts of its unit.
fn part_in_unit(part: u32) -> u32 { return part / PART_STEP % UNIT_PARTS; }
#endif

// The four bits of each byte from bit `up` on.
fn nibbles_from(words: vec4<u32>, up: u32) -> vec4<u32> {
  return (words >> vec4<u32>(up)) & vec4<u32>(0x0f0f0f0fu);
}

// The two bits of each byte from bit `up` on.
fn pairs_from(words: vec4<u32>, up: u32) -> vec4<u32> {
  return (words >> vec4<u32>(up)) & vec4<u32>(0x03030303u);
}

// Moves the lowest 16 bits, in their order, to bit 4 of 16 bytes. The product moves bit i of four to bit 8i,
// and no two bits coincide.
fn fifth_bits(bits: u32) -> vec4<u32> {
  let fours = vec4<u32>(bits << 4u, bits, bits >> 4u, bits >> 8u) & vec4<u32>(0xf0u);
  return (fours * 0x00204081u) & vec4<u32>(0x10101010u);
}

// d·n, which is rounded by itself where the weight must equal that of the CPU reference.
#ifdef INT8
fn multiple(d: f32, n: f32) -> f32 { return d * n; }
#else
fn multiple(d: f32, n: f32) -> f32 { return mul(d, n); }
#endif

// A part with one scale and no min.
fn without_min(a: vec4<u32>, b: vec4<u32>, d: f32) -> Codes {
  return Codes(a, b, vec2<f32>(d), vec2<f32>(0.0));
}
