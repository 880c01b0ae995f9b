// IQ3_XXS: d f16, 64 indices of 8 bits, for each 32 weights a word of four times 7 signs, and sc;
// w = ± d·(2sc + 1)/4·vector.

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let index = byte(block, 2u + quad);
  let rest = bytes_at(block, 66u + 4u * (quad >> 3u));
  let signs = even_signs(rest >> (7u * ((quad >> 1u) & 3u))) >> (4u * (quad & 1u));
  let multiple = i32(2u * (rest >> 28u) + 1u);
  return scaled(scale_over(half(block, 0u), 2u), with_signs(levels(index), signs) * multiple);
}
#endif

#ifdef CODES
#import lib/codebook_codes.wgsl

const UNIT_PARTS = 2u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = false;
const OFFSET = 0;
const CODE_BITS = 8u;

// Two parts of 32 weights.
struct Raw {
  d: f32,              // a fourth of d
  indices: vec4<u32>,  // for each part, eight indices
  signs: vec2<u32>,    // for each part, its signs and sc
}

fn fetch(block: u32, unit: u32) -> Raw {
  let at = 2u * unit;
  return Raw(
    f16_value(load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u)) * 0.25,
    load_vec4(FIELD1_AT, FIELD1_SIZE, block, unit),
    vec2<u32>(
      load_word(4u * FIELD2_AT, 4u * FIELD2_SIZE, block, at),
      load_word(4u * FIELD2_AT, 4u * FIELD2_SIZE, block, at + 1u)));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let indices = select(raw.indices.xy, raw.indices.zw, part == 1u);
  let signs = select(raw.signs.x, raw.signs.y, part == 1u);
  let d = raw.d * f32(((signs >> 28u) << 1u) | 1u);
  let x = indices.x;
  let y = indices.y;
  return without_min(
    vec4<u32>(
      fours_even(x & 0xffu, (x >> 8u) & 0xffu, signs), fours_even((x >> 16u) & 0xffu, x >> 24u, signs >> 7u)),
    vec4<u32>(
      fours_even(y & 0xffu, (y >> 8u) & 0xffu, signs >> 14u),
      fours_even((y >> 16u) & 0xffu, y >> 24u, signs >> 21u)),
    d);
}
#endif
