// Q5_K: d, dmin f16, eight scales and mins of six bits, the fifth bits and the low four bits of 256 codes;
// w = d·sc·q - dmin·m.

#import lib/six_bit.wgsl

const MAX_CODE = 31.0;

#ifdef SEARCH
const FIRST = -0.5;
const STEPS = 15u;
#endif

#ifdef PACK
// The low four bits of codes of two sub-blocks.
fn nibbles(low: Codes, high: Codes) -> u32 {
  return (low.bytes & 0x0f0f0f0fu) | ((high.bytes & 0x0f0f0f0fu) << 4u);
}

// Their fifth bits.
fn fifth_bits(low: Codes, high: Codes) -> u32 {
  return ((low.bytes >> 4u) & 0x01010101u) | ((high.bytes >> 3u) & 0x02020202u);
}

// Writes the codes of two quads of each sub-block, because a byte has the fifth bits of a weight of each
// sub-block.
fn pack(block: u32, part: u32) {
  let units = head(block, part);
  let at = block * BLOCK_WORDS + 4u + 2u * part;
  var fifths = vec2<u32>(0u);
  var farthest = vec4<f32>(0.0);
  for (var pair = 0u; pair < 4u; pair++) {
    let i = block * SUB_BLOCKS + 2u * pair;
    let low_line = line(i, units.scales, units.mins);
    let high_line = line(i + 1u, units.scales, units.mins);
    let x = block * BLOCK_QUADS + 16u * pair + 2u * part;
    let low0 = codes(weights(x), low_line);
    let low1 = codes(weights(x + 1u), low_line);
    let high0 = codes(weights(x + 8u), high_line);
    let high1 = codes(weights(x + 9u), high_line);
    blocks[at + 8u + 8u * pair] = nibbles(low0, high0);
    blocks[at + 9u + 8u * pair] = nibbles(low1, high1);
    fifths |= vec2<u32>(fifth_bits(low0, high0), fifth_bits(low1, high1)) << vec2<u32>(2u * pair);
    farthest = max(farthest, max(max(low0.distance, low1.distance), max(high0.distance, high1.distance)));
  }
  blocks[at] = fifths.x;
  blocks[at + 1u] = fifths.y;
  if (too_far(farthest)) {
    decline(block);
  }
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  let i = quad / 8u;
  let l = quad % 8u;
  let fifths = (word(block, 4u + l) >> i) & 0x01010101u;
  let nibbles = (word(block, 12u + 8u * (i / 2u) + l) >> (4u * (i % 2u))) & 0x0f0f0f0fu;
  return decode_six_bit(block, i, unpack4xU8(nibbles | (fifths << 4u)));
}
#endif

#ifdef CODES
const UNIT_PARTS = 2u;
const PART_STEP = 1u;
const CODE_BITS = 5u;

// Two parts of 32 weights, which are sub-blocks: the first in the low nibbles, the second in the high ones.
struct Raw {
  scales: SixBit,
  a: vec4<u32>,
  b: vec4<u32>,
  // The fifth bits of the first part in bit 4 of each byte, those of the second part in bit 5.
  fifth_a: vec4<u32>,
  fifth_b: vec4<u32>,
}

// Moves the fifth bits of a pair of sub-blocks, two of the eight bits of a byte, to bits 4 and 5. Other bits
// may come from neighbouring bytes.
fn fifths_of(words: vec4<u32>, pair: u32) -> vec4<u32> {
  let up = max(4u, 2u * pair) - 2u * pair;
  let down = max(4u, 2u * pair) - 4u;
  return (words << vec4<u32>(up)) >> vec4<u32>(down);
}

fn fetch(block: u32, unit: u32) -> Raw {
  let pairs = load_two_vec4s(FIELD2_AT, FIELD2_SIZE, block, unit);
  let fifths = load_two_vec4s(FIELD1_AT, FIELD1_SIZE, block, 0u);
  return Raw(
    six_bits(load_vec4(FIELD0_AT, FIELD0_SIZE, block, 0u), unit),
    pairs.a,
    pairs.b,
    fifths_of(fifths.a, unit),
    fifths_of(fifths.b, unit));
}

fn five_bits(nibbles: vec4<u32>, fifths: vec4<u32>, part: u32) -> vec4<u32> {
  return nibbles_from(nibbles, 4u * part) | ((fifths >> vec4<u32>(part)) & vec4<u32>(0x10101010u));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let a = five_bits(raw.a, raw.fifth_a, part);
  return six_bit_codes(raw.scales, part, a, five_bits(raw.b, raw.fifth_b, part));
}
#endif
