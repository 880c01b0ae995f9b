// IQ4_NL: d f16, qs[16]: byte j has weight j in its low nibble and weight j + 16 in the high one;
// w = d·level[q].

#ifdef QUANTIZE
#import lib/level_codes.wgsl
#import lib/level_search.wgsl

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let found = level_scale(x);
  if (found.declined) {
    decline(block);
  }
  let zero = found.scale == 0.0;
  let multiplier = select(divide(1.0, found.scale), 0.0, zero);
  let at = block * BLOCK_WORDS;
  // The scale takes the first 16 bits of a word, so each word has the end of one quad and the start of the
  // next.
  var before = f32_bits_to_f16(bitcast<u32>(found.scale));
  for (var i = 0u; i < 4u; i++) {
    let codes = level_codes(x + i, multiplier);
    blocks[at + i] = before | (codes << 16u);
    before = codes >> 16u;
  }
  blocks[at + 4u] = before;
}
#endif

#ifdef DEQUANTIZE
#import lib/levels.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let q = (bytes_at(block, 2u + 4u * (quad & 3u)) >> (4u * (quad >> 2u))) & 0x0f0f0f0fu;
  return scaled(scale_bits(block, 0u), level(unpack4xU8(q)));
}
#endif

#ifdef CODES
#import lib/codes.wgsl
#import lib/levels.wgsl

const UNIT_PARTS = 1u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = false;
const OFFSET = 0;
const CODE_BITS = 8u;

struct Raw {
  d: u32,
  pairs: vec4<u32>,
}

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u), load_vec4(FIELD1_AT, FIELD1_SIZE, block, 0u));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let levels = numbers_of(raw.pairs);
  return without_min(levels.low, levels.high, f16_value(raw.d));
}
#endif
