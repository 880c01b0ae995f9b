// Q4_0: d f16, 32 codes of four bits; w = d·(q-8). The weight of the largest magnitude has code 0.

#ifdef QUANTIZE
#import lib/extremes.wgsl
#import lib/pack.wgsl

fn codes(v: vec4<f32>, multiplier: f32) -> vec4<u32> {
  return min(vec4<u32>(mul4(v, vec4<f32>(multiplier)) + 8.5), vec4<u32>(15u));
}

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let first = first_of_largest_magnitude(x, BLOCK_QUADS);
  if (!in_range(first & 0x7fffffffu)) {
    decline(block);
  }
  // The scale of zeros is -0, as 0/-8 is.
  let d = select(bitcast<u32>(bitcast<f32>(first) * -0.125), 0x80000000u, first == 0u);
  let multiplier = inverse_or_zero(bitcast<f32>(d));
  let at = block * BLOCK_WORDS;
  // The scale takes the first 16 bits of a word, so each word has the end of four bytes of nibbles and the
  // start of the next four.
  var before = f32_bits_to_f16(d);
  for (var i = 0u; i < 4u; i++) {
    let pairs = nibbles(codes(weights(x + i), multiplier), codes(weights(x + i + 4u), multiplier));
    blocks[at + i] = before | (pairs << 16u);
    before = pairs >> 16u;
  }
  blocks[at + 4u] = before;
}
#endif

#ifdef DEQUANTIZE
#import lib/unpack.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let q = bitcast<vec4<i32>>(nibbles_at(block, 2u, quad)) - 8;
  return scaled(scale_bits(block, 0u), q);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 1u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = false;
const OFFSET = 8;
const CODE_BITS = 4u;

struct Raw {
  d: u32,
  pairs: vec4<u32>,
}

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u), load_vec4(FIELD1_AT, FIELD1_SIZE, block, 0u));
}

fn codes(raw: Raw, part: u32) -> Codes {
  return without_min(nibbles_from(raw.pairs, 0u), nibbles_from(raw.pairs, 4u), f16_value(raw.d));
}
#endif
