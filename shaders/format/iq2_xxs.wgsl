// IQ2_XXS: d f16, then for each 32 weights four indices of 8 bits, and a word of four times 7 signs, and sc;
// w = ± d·(2sc + 1)/8·vector.

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let at = 2u + 8u * (quad >> 3u);
  let v = (quad >> 1u) & 3u;
  let right = quad & 1u;
  let index = byte(block, at + v);
  let rest = bytes_at(block, at + 4u);
  let signs = even_signs(rest >> (7u * v)) >> (4u * right);
  let multiple = i32(2u * (rest >> 28u) + 1u);
  return scaled(scale_over(half(block, 0u), 3u), with_signs(levels(2u * index + right), signs) * multiple);
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
  d: f32,            // an eighth of d
  parts: vec4<u32>,  // for each part, a word of four indices, then a word of signs and sc
}

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(
    f16_value(load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u)) * 0.125,
    load_vec4(FIELD1_AT, FIELD1_SIZE, block, unit));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let two = select(raw.parts.xy, raw.parts.zw, part == 1u);
  let v0 = eight_even(two.x & 0xffu, two.y);
  let v1 = eight_even((two.x >> 8u) & 0xffu, two.y >> 7u);
  let v2 = eight_even((two.x >> 16u) & 0xffu, two.y >> 14u);
  let v3 = eight_even(two.x >> 24u, two.y >> 21u);
  return without_min(vec4<u32>(v0, v1), vec4<u32>(v2, v3), raw.d * f32(((two.y >> 28u) << 1u) | 1u));
}
#endif
