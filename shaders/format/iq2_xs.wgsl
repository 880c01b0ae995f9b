// IQ2_XS: d f16, 32 codes of 16 bits (an index of 9 bits, 7 signs), 16 scales of 4 bits;
// w = ± d·(2sc + 1)/8·vector.

#ifdef DEQUANTIZE
#import lib/codebook.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let v = quad >> 1u;
  let right = quad & 1u;
  let code = half(block, 2u + 2u * v);
  let index = code & 511u;
  let signs = even_signs(code >> 9u) >> (4u * right);
  let multiple = i32(2u * nibble(block, 66u, quad >> 2u) + 1u);
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
  d: f32,            // an eighth of d
  pairs: vec4<u32>,  // for each part, two words of two codes
  scales: u32,       // for each part, a byte with two scales
}

fn fetch(block: u32, unit: u32) -> Raw {
  let d = f16_value(load_f16(FIELD0_AT, FIELD0_SIZE, block, 0u)) * 0.125;
  return Raw(
    d,
    load_vec4(FIELD1_AT, FIELD1_SIZE, block, unit),
    half_of(load_word(FIELD2_AT, FIELD2_SIZE, block, unit >> 1u), unit));
}

// The vectors of two codes.
fn two_vectors(pair: u32) -> vec4<u32> {
  return vec4<u32>(eight_even(pair & 511u, pair >> 9u), eight_even((pair >> 16u) & 511u, pair >> 25u));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let two = select(raw.pairs.xy, raw.pairs.zw, part == 1u);
  return Codes(
    two_vectors(two.x), two_vectors(two.y), two_scales(raw.d, raw.scales >> (8u * part)), vec2<f32>(0.0));
}
#endif
