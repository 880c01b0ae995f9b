// IQ2_S: d f16, 32 low bytes of indices, 32 bytes of signs, two high bits of each index, 16 scales of 4 bits;
// w = ± d·(2sc + 1)/8·vector.

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let v = quad >> 1u;
  let right = quad & 1u;
  let high = (byte(block, 66u + (v >> 2u)) >> (2u * (v & 3u))) & 3u;
  let index = byte(block, 2u + v) | (high << 8u);
  let signs = byte(block, 34u + v) >> (4u * right);
  let multiple = i32(2u * nibble(block, 74u, quad >> 2u) + 1u);
  return scaled(scale_over(half(block, 0u), 3u), with_signs(levels(2u * index + right), signs) * multiple);
}
#endif

#ifdef CODES
#import lib/codebook_codes.wgsl

const UNIT_PARTS = 2u;
const PART_STEP = 1u;
const ONE_SCALE = false;
const HAS_MIN = false;
const OFFSET = 0;
const CODE_BITS = 8u;

// Two parts of 32 weights.
struct Raw {
  d: f32,              // an eighth of d
  indices: vec2<u32>,  // for each part, the low bytes of four indices
  signs: vec2<u32>,    // for each part, 32 signs
  high: u32,           // for each part, a byte with the high bits of four indices
  scales: u32,         // for each part, a byte with two scales
}

// Word `n` of a block's indices and signs.
fn word_of(block: u32, n: u32) -> u32 { return load_word(4u * FIELD1_AT, 4u * FIELD1_SIZE, block, n); }

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(
    f16_value(load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u)) * 0.125,
    vec2<u32>(word_of(block, 2u * unit), word_of(block, 2u * unit + 1u)),
    vec2<u32>(word_of(block, 8u + 2u * unit), word_of(block, 9u + 2u * unit)),
    half_of(load_word(FIELD2_AT, FIELD2_SIZE, block, unit >> 1u), unit),
    half_of(load_word(FIELD3_AT, FIELD3_SIZE, block, unit >> 1u), unit));
}

// Vector `index`, with the eight signs from bit `up` on.
fn eight(index: u32, signs: u32, up: u32) -> vec2<u32> {
  return vec2<u32>(
    with_signs(grid_word(2u * index), spread(extractBits(signs, up, 4u))),
    with_signs(grid_word(2u * index + 1u), spread(extractBits(signs, up + 4u, 4u))));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let low = select(raw.indices.x, raw.indices.y, part == 1u);
  let signs = select(raw.signs.x, raw.signs.y, part == 1u);
  // The products move the pairs of bits at 0 and 4, and those at 2 and 6, to bits 8 and 24. No two bits
  // coincide.
  let high = (raw.high >> (8u * part)) & 0xffu;
  let even = even_indices(low, high * 0x00100100u, 0x03000300u);
  let odd = odd_indices(low, high * 0x00040040u, 0x03000300u);
  return Codes(
    vec4<u32>(eight(even & 0xffffu, signs, 0u), eight(odd & 0xffffu, signs, 8u)),
    vec4<u32>(eight(even >> 16u, signs, 16u), eight(odd >> 16u, signs, 24u)),
    two_scales(raw.d, raw.scales >> (8u * part)),
    vec2<f32>(0.0));
}
#endif
