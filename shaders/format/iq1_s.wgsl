// IQ1_S: d f16, 32 low bytes of indices, for each 32 weights 16 bits: 3 high bits of each of four indices,
// sc, and the sign of the shift;
// w = d·(2sc + 1)/8·(8·vector ± 1).

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let v = quad >> 1u;
  let rest = half(block, 34u + 2u * (v >> 2u));
  let high = (rest >> (3u * (v & 3u))) & 7u;
  let index = byte(block, 2u + v) | (high << 8u);
  let shift = 1 - 2 * i32(rest >> 15u);
  let multiple = i32(2u * ((rest >> 12u) & 7u) + 1u);
  return scaled(scale_over(half(block, 0u), 3u), (8 * levels(2u * index + (quad & 1u)) + shift) * multiple);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 2u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = true;
const OFFSET = 0;
const CODE_BITS = 8u;

// Two parts of 32 weights.
struct Raw {
  d: f32,
  indices: vec2<u32>,  // for each part, the low bytes of four indices
  rest: u32,           // for each part, 16 bits: high bits of indices, sc and the sign of the shift
}

// Word `n` of a block's indices.
fn word_of(block: u32, n: u32) -> u32 { return load_word(4u * FIELD1_AT, 4u * FIELD1_SIZE, block, n); }

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(
    f16_value(load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u)),
    vec2<u32>(word_of(block, 2u * unit), word_of(block, 2u * unit + 1u)),
    load_word(4u * FIELD2_AT, 4u * FIELD2_SIZE, block, unit));
}

fn eight(index: u32) -> vec2<u32> { return vec2<u32>(grid_word(2u * index), grid_word(2u * index + 1u)); }

// The codes are the vectors. The shift is the same for all 32 weights, so it is the min.
fn codes(raw: Raw, part: u32) -> Codes {
  let low = select(raw.indices.x, raw.indices.y, part == 1u);
  let rest = raw.rest >> (16u * part);
  let v0 = eight((low & 0xffu) | ((rest & 7u) << 8u));
  let v1 = eight(((low >> 8u) & 0xffu) | ((rest & 0x38u) << 5u));
  let v2 = eight(((low >> 16u) & 0xffu) | ((rest & 0x1c0u) << 2u));
  let v3 = eight((low >> 24u) | ((rest >> 1u) & 0x700u));
  let d = raw.d * f32(((rest >> 11u) & 14u) | 1u);
  let min = select(-0.125 * d, 0.125 * d, (rest & 0x8000u) != 0u);
  return Codes(vec4<u32>(v0, v1), vec4<u32>(v2, v3), vec2<f32>(d), vec2<f32>(min));
}
#endif
