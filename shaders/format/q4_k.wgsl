// Q4_K: d, dmin f16, eight scales and mins of six bits, 256 codes of four bits; w = d·sc·q - dmin·m.

#import lib/six_bit.wgsl

const MAX_CODE = 15.0;

#ifdef SEARCH
const FIRST = -1.0;
const STEPS = 20u;
#endif

#ifdef PACK
// Writes the codes of two sub-blocks that share bytes.
fn pack(block: u32, part: u32) {
  let units = head(block, part);
  let i = block * SUB_BLOCKS + 2u * part;
  let low_line = line(i, units.scales, units.mins);
  let high_line = line(i + 1u, units.scales, units.mins);
  let x = block * BLOCK_QUADS + 16u * part;
  let at = block * BLOCK_WORDS + 4u + 8u * part;
  var farthest = vec4<f32>(0.0);
  for (var l = 0u; l < 8u; l++) {
    let low = codes(weights(x + l), low_line);
    let high = codes(weights(x + 8u + l), high_line);
    blocks[at + l] = low.bytes | (high.bytes << 4u);
    farthest = max(farthest, max(low.distance, high.distance));
  }
  if (too_far(farthest)) {
    decline(block);
  }
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  let i = quad / 8u;
  let pairs = word(block, 4u + 8u * (i / 2u) + quad % 8u);
  return decode_six_bit(block, i, unpack4xU8((pairs >> (4u * (i % 2u))) & 0x0f0f0f0fu));
}
#endif

#ifdef CODES
const UNIT_PARTS = 2u;
const PART_STEP = 1u;
const CODE_BITS = 4u;

// Two parts of 32 weights, which are sub-blocks: the first in the low nibbles, the second in the high ones.
struct Raw {
  scales: SixBit,
  a: vec4<u32>,
  b: vec4<u32>,
}

fn fetch(block: u32, unit: u32) -> Raw {
  let pairs = load_two_vec4s(FIELD1_AT, FIELD1_SIZE, block, unit);
  return Raw(six_bits(load_vec4(FIELD0_AT, FIELD0_SIZE, block, 0u), unit), pairs.a, pairs.b);
}

fn codes(raw: Raw, part: u32) -> Codes {
  return six_bit_codes(raw.scales, part, nibbles_from(raw.a, 4u * part), nibbles_from(raw.b, 4u * part));
}
#endif
