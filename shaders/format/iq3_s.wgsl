// IQ3_S: d f16, 64 low bytes of indices, a high bit of each, 64 times 4 signs, 8 scales of 4 bits;
// w = ± d·(2sc + 1)·vector.

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

// Two parts of 32 weights.
struct Raw {
  d: f32,
  indices: vec4<u32>,  // for each part, the low bytes of eight indices
  high: u32,           // for each part, a byte with their high bits
  signs: vec2<u32>,    // for each part, 32 signs
  scales: u32,         // for each part, a scale of 4 bits
}

fn fetch(block: u32, unit: u32) -> Raw {
  let at = 2u * unit;
  return Raw(
    f16_value(load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u)),
    load_vec4(FIELD1_AT, FIELD1_SIZE, block, unit),
    half_of(load_word(FIELD2_AT, FIELD2_SIZE, block, unit >> 1u), unit),
    vec2<u32>(
      load_word(4u * FIELD3_AT, 4u * FIELD3_SIZE, block, at),
      load_word(4u * FIELD3_AT, 4u * FIELD3_SIZE, block, at + 1u)),
    load_word(FIELD4_AT, FIELD4_SIZE, block, 0u) >> (8u * unit));
}

// Four vectors with the 16 signs from bit `up` on. `even` has the indices of the first and the third, `odd`
// those of the second and the last.
fn four_vectors(even: u32, odd: u32, signs: u32, up: u32) -> vec4<u32> {
  return vec4<u32>(
    with_signs(grid_word(even & 0xffffu), spread(extractBits(signs, up, 4u))),
    with_signs(grid_word(odd & 0xffffu), spread(extractBits(signs, up + 4u, 4u))),
    with_signs(grid_word(even >> 16u), spread(extractBits(signs, up + 8u, 4u))),
    with_signs(grid_word(odd >> 16u), spread(extractBits(signs, up + 12u, 4u))));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let low = select(raw.indices.xy, raw.indices.zw, part == 1u);
  let signs = select(raw.signs.x, raw.signs.y, part == 1u);
  let d = raw.d * f32(((extractBits(raw.scales, 4u * part, 4u)) << 1u) | 1u);
  // The products move bits 0 and 2, 1 and 3, 4 and 6, 5 and 7 to bits 8 and 24. No two bits coincide.
  let high = (raw.high >> (8u * part)) & 0xffu;
  let mask = 0x01000100u;
  return without_min(
    four_vectors(
      even_indices(low.x, high * 0x00400100u, mask),
      odd_indices(low.x, high * 0x00200080u, mask),
      signs,
      0u),
    four_vectors(
      even_indices(low.y, high * 0x00040010u, mask),
      odd_indices(low.y, high * 0x00020008u, mask),
      signs,
      16u),
    d);
}
#endif
