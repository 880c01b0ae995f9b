// Q1_0: d f16, 128 bits; w = d·(2q-1). d is the mean magnitude.

#ifdef QUANTIZE
#import lib/pack.wgsl

// A bit for each of 32 weights, set where the weight is not negative; -0 counts as 0.
fn not_negative(x: u32) -> u32 {
  var signs = 0u;
  for (var i = 0u; i < 8u; i++) {
    let positive_or_zero = weight_bits(x + i) <= vec4<u32>(0x80000000u);
    signs |= lowest_bits(vec4<u32>(positive_or_zero)) << (4u * i);
  }
  return signs;
}

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  var sum = 0.0;
  var largest = 0u;
  var subnormal = vec4<bool>(false);
  for (var i = 0u; i < BLOCK_QUADS; i++) {
    let bits = weight_bits(x + i);
    let size = bits & vec4<u32>(0x7fffffffu);
    sum = accumulate(sum, bitcast<vec4<f32>>(size));
    largest = max(largest, largest4(bits));
    subnormal |= (size - 1u) < vec4<u32>(0x7fffffu);
  }
  // A subnormal, which a device may flush, can decide how the sum is rounded.
  if (!in_range(largest) || any(subnormal)) {
    decline(block);
  }
  let d = bitcast<u32>(sum * 0.0078125) & 0x7fffffffu;
  let at = block * BLOCK_WORDS;
  // The scale takes the first 16 bits of a word, so each word has the end of 32 bits and the start of the
  // next.
  var before = f32_bits_to_f16(d);
  for (var i = 0u; i < 4u; i++) {
    let signs = not_negative(x + 8u * i);
    blocks[at + i] = before | (signs << 16u);
    before = signs >> 16u;
  }
  blocks[at + 4u] = before;
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  let negative = vec4<u32>(~byte(block, 2u + quad / 2u) >> (4u * (quad & 1u))) >> vec4<u32>(0u, 1u, 2u, 3u);
  return vec4<u32>(scale_bits(block, 0u)) ^ (negative << vec4<u32>(31u));
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 4u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = false;
const OFFSET = 1;
const CODE_BITS = 2u;

struct Raw {
  d: u32,
  bits: vec4<u32>,
}

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u), load_vec4(FIELD1_AT, FIELD1_SIZE, block, 0u));
}

// Twice each of 16 bits, as bytes.
fn twice(bits: u32) -> vec4<u32> {
  let fours = (vec4<u32>(bits) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
  return (fours * 0x00408102u) & vec4<u32>(0x02020202u);
}

fn codes(raw: Raw, part: u32) -> Codes {
  let first_two = select(raw.bits.x, raw.bits.y, part == 1u);
  let bits = select(first_two, select(raw.bits.z, raw.bits.w, part == 3u), part >= 2u);
  return without_min(twice(bits), twice(bits >> 16u), f16_value(raw.d));
}
#endif
