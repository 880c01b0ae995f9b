// IQ1_M: 32 low bytes of indices, 32 nibbles of 3 high bits of an index and the sign of the shift, four words
// of 16 bits with 4 scales of 3 bits and 4 bits of d each;
// w = d·(2sc + 1)/8·(8·vector ± 1).

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let v = quad >> 1u;
  let rest = nibble(block, 32u, v);
  let index = byte(block, v) | ((rest & 7u) << 8u);
  let shift = 1 - 2 * i32(rest >> 3u);
  let scales = half(block, 48u + 2u * (v >> 3u));
  let multiple = i32(2u * ((scales >> (3u * ((v >> 1u) & 3u))) & 7u) + 1u);
  let d = (half(block, 48u) >> 12u) | ((half(block, 50u) >> 8u) & 0xf0u)
    | ((half(block, 52u) >> 4u) & 0xf00u) | (half(block, 54u) & 0xf000u);
  return scaled(scale_over(d, 3u), (8 * levels(2u * index + (quad & 1u)) + shift) * multiple);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 2u;
const PART_STEP = 1u;
const ONE_SCALE = false;
const HAS_MIN = false;
const OFFSET = 1;
const CODE_BITS = 8u;

// Two parts of 32 weights.
struct Raw {
  d: f32,              // an eighth of d
  indices: vec2<u32>,  // for each part, the low bytes of four indices
  rest: u32,           // for each part, four nibbles of high bits and the sign of the shift
  scales: u32,         // for each part, two scales of 3 bits
}

// Word `n` of a block's indices.
fn word_of(block: u32, n: u32) -> u32 { return load_word(4u * FIELD0_AT, 4u * FIELD0_SIZE, block, n); }

fn fetch(block: u32, unit: u32) -> Raw {
  let first = load_word(FIELD2_AT, FIELD2_SIZE, block, 0u);
  let last = load_word(FIELD2_AT, FIELD2_SIZE, block, 1u);
  let d = ((first >> 12u) & 0xfu) | ((first >> 24u) & 0xf0u)
    | ((last >> 4u) & 0xf00u) | ((last >> 16u) & 0xf000u);
  let scales = select(first, last, unit >= 2u) >> (16u * (unit & 1u));
  return Raw(
    f16_value(d) * 0.125,
    vec2<u32>(word_of(block, 2u * unit), word_of(block, 2u * unit + 1u)),
    load_word(4u * FIELD1_AT, 4u * FIELD1_SIZE, block, unit),
    scales);
}

// 8·vector + 1 ± 1, as bytes. `low` has the low byte of the index; bits 8 to 10 of `rest` are its high bits,
// bit 11 is the sign of the shift.
fn eight(low: u32, rest: u32) -> vec2<u32> {
  let index = (low & 0xffu) | (rest & 0x700u);
  let up = select(0x02020202u, 0u, (rest & 0x800u) != 0u);
  let vector = vec2<u32>(grid_word(2u * index), grid_word(2u * index + 1u));
  return ((vector << vec2<u32>(3u)) & vec2<u32>(0xf8f8f8f8u)) | vec2<u32>(up);
}

fn codes(raw: Raw, part: u32) -> Codes {
  let low = select(raw.indices.x, raw.indices.y, part == 1u);
  let rest = raw.rest >> (16u * part);
  let sc = raw.scales >> (6u * part);
  let scales = raw.d * vec2<f32>(f32(((sc << 1u) & 14u) | 1u), f32(((sc >> 2u) & 14u) | 1u));
  return Codes(
    vec4<u32>(eight(low, rest << 8u), eight(low >> 8u, rest << 4u)),
    vec4<u32>(eight(low >> 16u, rest), eight(low >> 24u, rest >> 4u)),
    scales,
    vec2<f32>(0.0));
}
#endif
