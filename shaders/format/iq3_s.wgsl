// IQ3_S: d f16, 64 low bytes of indices, a high bit of each, 64 times 4 signs, 8 scales of 4 bits; w = ± d·(2sc + 1)·vector.

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let high = (byte(block, 66u + (quad >> 3u)) >> (quad & 7u)) & 1u;
  let index = byte(block, 2u + quad) | (high << 8u);
  let signs = nibble(block, 74u, quad);
  let multiple = i32(2u * nibble(block, 106u, quad >> 3u) + 1u);
  return scaled(scale_bits(block, 0u), with_signs(levels(index), signs) * multiple);
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

// For each part eight indices, a byte of high bits, eight times four signs, and a nibble of scale.
struct Raw {
  d: f32,
  indices: vec4<u32>,
  high: u32,
  signs: vec2<u32>,
  scales: u32,
}

fn fetch(block: u32, unit: u32) -> Raw {
  let at = 2u * unit;
  return Raw(
    f16_value(load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u)), load_vec4(FIELD1_AT, FIELD1_SIZE, block, unit),
    half_of(load_word(FIELD2_AT, FIELD2_SIZE, block, unit >> 1u), unit),
    vec2<u32>(load_word(4u * FIELD3_AT, 4u * FIELD3_SIZE, block, at), load_word(4u * FIELD3_AT, 4u * FIELD3_SIZE, block, at + 1u)),
    load_word(FIELD4_AT, FIELD4_SIZE, block, 0u) >> (8u * unit));
}

// Four vectors, with the 16 signs from bit `up` on.
fn four_vectors(even: u32, odd: u32, signs: u32, up: u32) -> vec4<u32> {
  return vec4<u32>(
    with_signs(grid_word(even & 0xffffu), spread(extractBits(signs, up, 4u))), with_signs(grid_word(odd & 0xffffu), spread(extractBits(signs, up + 4u, 4u))),
    with_signs(grid_word(even >> 16u), spread(extractBits(signs, up + 8u, 4u))), with_signs(grid_word(odd >> 16u), spread(extractBits(signs, up + 12u, 4u))));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let low = select(raw.indices.xy, raw.indices.zw, part == 1u);
  let signs = select(raw.signs.x, raw.signs.y, part == 1u);
  let d = raw.d * f32(((extractBits(raw.scales, 4u * part, 4u)) << 1u) | 1u);
  // Bits 0, 2 and 1, 3 move up to 8 and 24, then 4, 6 and 5, 7, and none onto another.
  let high = (raw.high >> (8u * part)) & 0xffu;
  let mask = 0x01000100u;
  return without_min(
    four_vectors(even_indices(low.x, high * 0x00400100u, mask), odd_indices(low.x, high * 0x00200080u, mask), signs, 0u),
    four_vectors(even_indices(low.y, high * 0x00040010u, mask), odd_indices(low.y, high * 0x00020008u, mask), signs, 16u), d);
}
#endif
