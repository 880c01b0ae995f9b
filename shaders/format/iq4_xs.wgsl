// IQ4_XS: d f16, scales_h u16, scales_l[4], qs[128];
// w = d·(sc-32)·level[q]. Sub-blocks of 32 weights, packed as in IQ4_NL.
//
// sc of sub-block s has its low four bits from bit 4s of scales_l on, and its high two from bit 2s of
// scales_h on.

#ifdef SEARCH
#import lib/level_search.wgsl

fn search(sub_block: u32) {
  let found = level_scale(sub_block * 8u);
  scratch[sub_block] = vec4<u32>(bitcast<u32>(found.scale), 0u, 0u, select(0u, 1u, found.declined));
}
#endif

#ifdef PACK
#import lib/level_codes.wgsl
#import lib/stored_scale.wgsl

// sc - 32 of a sub-block.
fn stored(sub_block: u32, inverse: f32) -> f32 {
  return clamp(round(inverse * found_scale(sub_block)), -32.0, 31.0);
}

// The first two words: d, and sc of all sub-blocks.
fn head(first: u32, d: u32, inverse: f32) -> vec2<u32> {
  var low = 0u;
  var high = 0u;
  for (var s = 0u; s < SUB_BLOCKS; s++) {
    let scale = u32(stored(first + s, inverse) + 32.0);
    low |= (scale & 15u) << (4u * s);
    high |= (scale >> 4u) << (2u * s);
  }
  return vec2<u32>(d | (high << 16u), low);
}

// A part is two sub-blocks.
fn pack(block: u32, part: u32) {
  // The scale of largest magnitude, with its sign, becomes -32; d of a block of zeros is -0.
  let largest = largest_scale(block);
  let zero = largest == 0.0;
  let d = mul(largest, -0.03125);
  let inverse = select(divide(1.0, d), 0.0, zero);
  let first = block * SUB_BLOCKS;
  let at = block * BLOCK_WORDS;
  if (part == 0u) {
    let words = head(first, f32_bits_to_f16(select(bitcast<u32>(d), 0x80000000u, zero)), inverse);
    blocks[at] = words.x;
    blocks[at + 1u] = words.y;
  }
  // As in ggml, the codes are for the scales with d before it is rounded to f16.
  for (var s = 2u * part; s < 2u * part + 2u; s++) {
    let scale = mul(d, stored(first + s, inverse));
    let multiplier = select(divide(1.0, scale), 0.0, scale == 0.0);
    let x = (first + s) * 8u;
    store4(at + 2u + 4u * s, vec4<u32>(
      level_codes(x, multiplier),
      level_codes(x + 1u, multiplier),
      level_codes(x + 2u, multiplier),
      level_codes(x + 3u, multiplier)));
  }
}
#endif

#ifdef DEQUANTIZE
#import lib/levels.wgsl

// sc - 32 of sub-block s.
fn multiple(block: u32, s: u32) -> i32 {
  let low = (word(block, 1u) >> (4u * s)) & 15u;
  let high = (half(block, 2u) >> (2u * s)) & 3u;
  return i32(low | (high << 4u)) - 32;
}

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let s = quad >> 3u;
  let q = (word(block, 2u + 4u * s + (quad & 3u)) >> (quad & 4u)) & 0x0f0f0f0fu;
  return scaled(scaled(scale_bits(block, 0u), vec4<i32>(multiple(block, s))).x, level(unpack4xU8(q)));
}
#endif

#ifdef CODES
#import lib/codes.wgsl
#import lib/levels.wgsl

const UNIT_PARTS = 2u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = false;
const OFFSET = 0;
const CODE_BITS = 8u;

// Two parts of 32 weights, which are sub-blocks.
struct Raw {
  d: f32,
  low: u32,           // four bits of each sc, from bit 0 on
  high: u32,          // the high two bits of each sc, from bit 4 on
  first: vec4<u32>,   // the codes of the first part
  second: vec4<u32>,  // the codes of the second part
}

fn fetch(block: u32, unit: u32) -> Raw {
  let head = load_word(FIELD0_AT, FIELD0_SIZE, block, 0u);
  let low = load_word(FIELD0_AT, FIELD0_SIZE, block, 1u);
  return Raw(
    f16_value(head & 0xffffu),
    low >> (8u * unit),
    head >> (12u + 4u * unit),
    load_vec4(FIELD1_AT, FIELD1_SIZE, block, 2u * unit),
    load_vec4(FIELD1_AT, FIELD1_SIZE, block, 2u * unit + 1u));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let sc = ((raw.low >> (4u * part)) & 15u) | ((raw.high >> (2u * part)) & 48u);
  let levels = numbers_of(select(raw.first, raw.second, part == 1u));
  return without_min(levels.low, levels.high, multiple(raw.d, f32(sc) - 32.0));
}
#endif
