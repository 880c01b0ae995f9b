// Q5_0: d f16, the fifth bits and the low four bits of 32 codes;
// w = d·(q-16). The weight of the largest magnitude has code 0.

#ifdef QUANTIZE
#import lib/extremes.wgsl
#import lib/pack.wgsl

fn codes(v: vec4<f32>, multiplier: f32) -> vec4<u32> {
  return min(vec4<u32>(mul4(v, vec4<f32>(multiplier)) + 16.5), vec4<u32>(31u));
}

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let first = first_of_largest_magnitude(x, BLOCK_QUADS);
  if (!in_range(first & 0x7fffffffu)) {
    decline(block);
  }
  // The scale of zeros is -0, as 0/-16 is.
  let d = select(bitcast<u32>(bitcast<f32>(first) * -0.0625), 0x80000000u, first == 0u);
  let multiplier = inverse_or_zero(bitcast<f32>(d));
  let at = block * BLOCK_WORDS;
  // From the last word to the first, because the fifth bits come before the nibbles. The scale takes the
  // first 16 bits of a word, so each word has the end of four bytes of nibbles and the start of the next
  // four.
  var fifths = 0u;
  var after = 0u;
  for (var i = 4u; i > 0u; i--) {
    let low = codes(weights(x + i - 1u), multiplier);
    let high = codes(weights(x + i + 3u), multiplier);
    let pairs = nibbles(low, high);
    blocks[at + i + 1u] = (pairs >> 16u) | (after << 16u);
    after = pairs;
    fifths = (fifths << 4u) | fifth_bits(low) | (fifth_bits(high) << 16u);
  }
  blocks[at + 1u] = (fifths >> 16u) | (after << 16u);
  blocks[at] = f32_bits_to_f16(d) | (fifths << 16u);
}
#endif

#ifdef DEQUANTIZE
#import lib/unpack.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let q = bitcast<vec4<i32>>(five_bits_at(block, 2u, quad)) - 16;
  return scaled(scale_bits(block, 0u), q);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 1u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = false;
const OFFSET = 16;
const CODE_BITS = 5u;

struct Raw {
  d: u32,
  fifths: u32,
  pairs: vec4<u32>,
}

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(
    load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u),
    load_word(FIELD1_AT, FIELD1_SIZE, block, 0u),
    load_vec4(FIELD2_AT, FIELD2_SIZE, block, 0u));
}

fn codes(raw: Raw, part: u32) -> Codes {
  return without_min(
    nibbles_from(raw.pairs, 0u) | fifth_bits(raw.fifths),
    nibbles_from(raw.pairs, 4u) | fifth_bits(raw.fifths >> 16u),
    f16_value(raw.d));
}
#endif
