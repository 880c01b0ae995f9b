// Q8_0: d f16, 32 signed bytes; w = d·q.

#ifdef QUANTIZE
#import lib/extremes.wgsl

fn codes(v: vec4<f32>, multiplier: f32) -> u32 {
  return bytes(bitcast<vec4<u32>>(round_half_away4(v * multiplier)));
}

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let largest = largest_magnitude(x, BLOCK_QUADS);
  if (!in_range(largest)) {
    decline(block);
  }
  let d = divide(bitcast<f32>(largest), 127.0);
  let multiplier = inverse_or_zero(d);
  let at = block * BLOCK_WORDS;
  // The scale takes the first 16 bits of a word, so each word has the end of one quad and the start of the
  // next.
  var before = f32_bits_to_f16(bitcast<u32>(d));
  for (var i = 0u; i < 8u; i++) {
    let quad = codes(weights(x + i), multiplier);
    blocks[at + i] = before | (quad << 16u);
    before = quad >> 16u;
  }
  blocks[at + 8u] = before;
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  let q = unpack4xI8(bytes_at(block, 2u + 4u * quad));
  return scaled(scale_bits(block, 0u), q);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 1u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = false;
const OFFSET = 0;
const CODE_BITS = 8u;

struct Raw {
  d: u32,
  a: vec4<u32>,
  b: vec4<u32>,
}

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(
    load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u),
    load_vec4(FIELD1_AT, FIELD1_SIZE, block, 0u),
    load_vec4(FIELD1_AT, FIELD1_SIZE, block, 1u));
}

fn codes(raw: Raw, part: u32) -> Codes { return without_min(raw.a, raw.b, f16_value(raw.d)); }
#endif
