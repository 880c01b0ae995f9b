// Q5_1: d, m f16, the fifth bits and the low four bits of 32 codes; w = d·q + m.

#ifdef QUANTIZE
#import lib/extremes.wgsl
#import lib/pack.wgsl

fn codes(v: vec4<f32>, least: f32, multiplier: f32) -> vec4<u32> {
  let above_least = sub4(v, vec4<f32>(least));
  return vec4<u32>(mul4(above_least, vec4<f32>(multiplier)) + 0.5);
}

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let extremes = least_and_greatest(x, BLOCK_QUADS);
  if (!in_range(largest_extreme(extremes))) {
    decline(block);
  }
  let least = bitcast<f32>(extremes.least);
  let d = divide(sub(bitcast<f32>(extremes.greatest), least), 31.0);
  let multiplier = inverse_or_zero(d);
  let at = block * BLOCK_WORDS;
  blocks[at] = f32_bits_to_f16(bitcast<u32>(d)) | (f32_bits_to_f16(extremes.least) << 16u);
  var fifths = 0u;
  for (var i = 0u; i < 4u; i++) {
    let low = codes(weights(x + i), least, multiplier);
    let high = codes(weights(x + i + 4u), least, multiplier);
    blocks[at + 2u + i] = nibbles(low, high);
    fifths |= (fifth_bits(low) | (fifth_bits(high) << 16u)) << (4u * i);
  }
  blocks[at + 1u] = fifths;
}
#endif

#ifdef DEQUANTIZE
#import lib/unpack.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let q = bitcast<vec4<i32>>(five_bits_at(block, 4u, quad));
  return sum(scaled(scale_bits(block, 0u), q), scale_bits(block, 2u));
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 1u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = true;
const OFFSET = 0;
const CODE_BITS = 5u;

struct Raw {
  d_m: u32,
  fifths: u32,
  pairs: vec4<u32>,
}

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(
    load_word(FIELD0_AT, FIELD0_SIZE, block, 0u),
    load_word(FIELD0_AT, FIELD0_SIZE, block, 1u),
    load_vec4(FIELD1_AT, FIELD1_SIZE, block, 0u));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let d_m = f16_values(raw.d_m);
  return Codes(
    nibbles_from(raw.pairs, 0u) | fifth_bits(raw.fifths),
    nibbles_from(raw.pairs, 4u) | fifth_bits(raw.fifths >> 16u),
    vec2<f32>(d_m.x),
    vec2<f32>(-d_m.y));
}
#endif
