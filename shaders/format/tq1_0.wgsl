// TQ1_0: 256 digits of base 3, five in a byte, d f16; w = d·(q-1).
//
// Word i of words 0 to 7 has quads 8n + i and word 8 + i of words 8 to 11 has quads 40 + 4n + i, both for n
// in 0..5. Word 12 has quads 60 + n for n in 0..4, and a digit 0. Digit n of byte j belongs to weight j of
// quad n of the word. The digits of a byte are those of a fraction, rounded up to a multiple of 1/256.

#ifdef QUANTIZE
#import lib/extremes.wgsl
#import lib/ternary.wgsl

// The first four digits of four bytes, from quads that are `step` apart.
fn four_digits(i: u32, step: u32, multiplier: f32) -> vec4<u32> {
  var digits = ternary(weights(i), multiplier);
  for (var n = 1u; n < 4u; n++) {
    digits = 3u * digits + ternary(weights(i + n * step), multiplier);
  }
  return digits;
}

// All five digits of four bytes.
fn five_digits(i: u32, step: u32, multiplier: f32) -> vec4<u32> {
  return 3u * four_digits(i, step, multiplier) + ternary(weights(i + 4u * step), multiplier);
}

// Four bytes from five digits each.
fn fractions(digits: vec4<u32>) -> u32 { return bytes((256u * digits + 242u) / 243u); }

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let d = largest_magnitude(x, BLOCK_QUADS);
  if (!in_range(d)) {
    decline(block);
  }
  let multiplier = inverse_or_zero(bitcast<f32>(d));
  let at = block * BLOCK_WORDS;
  for (var i = 0u; i < 8u; i++) {
    blocks[at + i] = fractions(five_digits(x + i, 8u, multiplier));
  }
  for (var i = 0u; i < 4u; i++) {
    blocks[at + 8u + i] = fractions(five_digits(x + 40u + i, 4u, multiplier));
  }
  blocks[at + 12u] = fractions(3u * four_digits(x + 60u, 1u, multiplier));
  blocks[at + 13u] = f32_bits_to_f16(d);
}
#endif

#ifdef DEQUANTIZE
// The word of a quad, and which of its digits the quad has.
fn digit_of(quad: u32) -> vec2<u32> {
  let late = vec2<u32>(8u + (quad - 40u) % 4u, (quad - 40u) / 4u);
  let in_five = select(late, vec2<u32>(quad % 8u, quad / 8u), quad < 40u);
  return select(in_five, vec2<u32>(12u, quad - 60u), quad >= 60u);
}

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let at = digit_of(quad);
  // Multiplying by 3^n carries the digits before digit n out of the byte, and then multiplying by 3 carries
  // out digit n.
  let power = select((0x1b090301u >> (8u * at.y)) & 0xffu, 81u, at.y == 4u);
  let rest = (unpack4xU8(word(block, at.x)) * power) & vec4<u32>(0xffu);
  let q = bitcast<vec4<i32>>((rest * 3u) >> vec4<u32>(8u));
  return scaled(scale_bits(block, 52u), q - 1);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 1u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = false;
const OFFSET = 1;
const CODE_BITS = 2u;

// A part of 32 weights: the words that have its digits, and 3^n for digits n, by which the words are
// multiplied.
struct Raw {
  d: f32,
  a: vec4<u32>,
  b: vec4<u32>,
  power: u32,         // for a
  powers: vec4<u32>,  // for b
}

// Parts 0 to 4 are the digits of the first 32 bytes. Parts 5, 6 and the first half of part 7 are those of the
// next 16 bytes, and the second half of part 7 those of the last four bytes.
fn fetch(block: u32, unit: u32) -> Raw {
  let is_first = unit < 5u;
  let is_last = unit == 7u;
  let at = select(2u, 0u, is_first);
  let power = select(power_of_three(unit), power_of_three(2u * unit - 10u), !is_first);
  let four = vec4<u32>(load_word(FIELD1_AT, FIELD1_SIZE, block, 0u));
  let b = select(load_vec4(FIELD0_AT, FIELD0_SIZE, block, select(2u, 1u, is_first)), four, is_last);
  let powers = select(vec4<u32>(select(3u * power, power, is_first)), vec4<u32>(1u, 3u, 9u, 27u), is_last);
  return Raw(
    f16_value(load_f16(FIELD2_AT, FIELD2_SIZE, block, 0u)),
    load_vec4(FIELD0_AT, FIELD0_SIZE, block, at),
    b,
    power,
    powers);
}

fn power_of_three(n: u32) -> u32 { return select((0x1b090301u >> (8u * n)) & 0xffu, 81u, n == 4u); }

// Digits n of 16 bytes, where `powers` are 3^n. Multiplying by 3^n carries the digits before digit n out of
// the byte, and then multiplying by 3 carries out digit n.
fn digits(bytes: vec4<u32>, powers: vec4<u32>) -> vec4<u32> {
  let every_other = vec4<u32>(0x00ff00ffu);
  let even = (((bytes & every_other) * powers) & every_other) * 3u;
  let odd = ((((bytes >> vec4<u32>(8u)) & every_other) * powers) & every_other) * 3u;
  return ((even >> vec4<u32>(8u)) & every_other) | (odd & ~every_other);
}

fn codes(raw: Raw, part: u32) -> Codes {
  return without_min(digits(raw.a, vec4<u32>(raw.power)), digits(raw.b, raw.powers), raw.d);
}
#endif
