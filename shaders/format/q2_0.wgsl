// Q2_0: d f16, 64 codes of two bits; w = d·(q-1). The encoder never writes 3.

#ifdef QUANTIZE
#import lib/extremes.wgsl
#import lib/ternary.wgsl

// The codes of a quad as a byte.
fn four_codes(i: u32, multiplier: f32) -> u32 {
  let q = ternary(weights(i), multiplier);
  return q.x | (q.y << 2u) | (q.z << 4u) | (q.w << 6u);
}

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let d = largest_magnitude(x, BLOCK_QUADS);
  if (!in_range(d)) {
    decline(block);
  }
  let multiplier = inverse_or_zero(bitcast<f32>(d));
  let at = block * BLOCK_WORDS;
  // The scale takes the first 16 bits of a word, so each word has the end of four quads and the start of the
  // next.
  var before = f32_bits_to_f16(d);
  for (var i = 0u; i < 4u; i++) {
    let quad = x + 4u * i;
    let codes = four_codes(quad, multiplier) | (four_codes(quad + 1u, multiplier) << 8u)
      | (four_codes(quad + 2u, multiplier) << 16u) | (four_codes(quad + 3u, multiplier) << 24u);
    blocks[at + i] = before | (codes << 16u);
    before = codes >> 16u;
  }
  blocks[at + 4u] = before;
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  let q = (vec4<u32>(byte(block, 2u + quad)) >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u);
  return scaled(scale_bits(block, 0u), bitcast<vec4<i32>>(q) - 1);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 2u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = false;
const OFFSET = 1;
const CODE_BITS = 2u;

struct Raw {
  d: u32,
  fours: vec4<u32>,
}

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u), load_vec4(FIELD1_AT, FIELD1_SIZE, block, 0u));
}

// The codes of four bytes, as 16 bytes.
fn spread_pairs(fours: u32) -> vec4<u32> {
  let bytes = (vec4<u32>(fours) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu);
  let pairs = (bytes | (bytes << vec4<u32>(12u))) & vec4<u32>(0x000f000fu);
  return (pairs | (pairs << vec4<u32>(6u))) & vec4<u32>(0x03030303u);
}

fn codes(raw: Raw, part: u32) -> Codes {
  let fours = select(raw.fours.xy, raw.fours.zw, part == 1u);
  return without_min(spread_pairs(fours.x), spread_pairs(fours.y), f16_value(raw.d));
}
#endif
