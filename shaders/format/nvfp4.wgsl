// NVFP4: four ue4m3 scales, each for 16 e2m1 numbers of four bits;
// w = d·q, where d is half the scale and q the doubled e2m1 number.

#import lib/e2m1.wgsl

#ifndef CODES
// The bits of half a ue4m3 number. The highest code, elsewhere NaN, is 0 here.
fn half_scale(scale: u32) -> u32 {
  let normal = ((scale & 0x7fu) << 20u) + (119u << 23u);
  // A subnormal counts units of 2^-10.
  let subnormal = bitcast<u32>(f32(scale & 7u)) - (10u << 23u);
  let finite = select(normal, subnormal, (scale & 0x78u) == 0u);
  return select(finite, 0u, (scale & 0x7fu) == 0u || scale == 0x7fu);
}
#endif

#ifdef QUANTIZE
#import lib/extremes.wgsl
#import lib/pack.wgsl

// The ue4m3 number nearest to x >= 0, the greater one for ties. ggml does not use the highest binade: from
// 248 on, numbers become 448.
fn to_ue4m3(x: f32) -> u32 {
  // Adding half a unit of the last kept bit rounds, with a carry into the exponent where there is one.
  let normal = ((bitcast<u32>(x) + 0x80000u) >> 20u) - (120u << 3u);
  let large = select(normal, 0x7eu, normal >= 0x78u);
  let subnormal = min(u32(mul(x, 512.0) + 0.5), 7u);
  return select(large, subnormal, x < 0.015625);
}

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let at = block * BLOCK_WORDS;
  var scales = 0u;
  for (var s = 0u; s < 4u; s++) {
    let first = x + 4u * s;
    let found = largest_magnitude(first, 4u);
    // Weights far below the least scale, 2^-9, get the scale 0, as zeros do.
    let largest = select(found, 0u, found < 0x30800000u);
    if (!in_range(largest)) {
      decline(block);
    }
    // The greatest e2m1 number is 6.
    let scale = to_ue4m3(divide(bitcast<f32>(largest), 6.0));
    let d = bitcast<f32>(half_scale(scale));
    blocks[at + 1u + 2u * s] = nibbles(nearest_e2m1(weights(first), d), nearest_e2m1(weights(first + 2u), d));
    blocks[at + 2u + 2u * s] = nibbles(
      nearest_e2m1(weights(first + 1u), d), nearest_e2m1(weights(first + 3u), d));
    scales |= scale << (8u * s);
  }
  blocks[at] = scales;
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  // A sub-block has four quads: two in the low nibbles of two words, two in the high ones.
  let sub_block = quad / 4u;
  let pairs = word(block, 1u + 2u * sub_block + (quad & 1u)) >> (2u * (quad & 2u));
  let codes = unpack4xU8(pairs & 0x0f0f0f0fu);
  return scaled(half_scale(byte(block, sub_block)), e2m1_doubled(codes));
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 2u;
const PART_STEP = 1u;
const ONE_SCALE = false;
const HAS_MIN = false;
const OFFSET = 0;
const CODE_BITS = 8u;

// Two parts of 32 weights.
struct Raw {
  scales: u32,
  first: vec4<u32>,
  second: vec4<u32>,
}

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(
    load_word(FIELD0_AT, FIELD0_SIZE, block, 0u),
    load_vec4(FIELD1_AT, FIELD1_SIZE, block, 0u),
    load_vec4(FIELD1_AT, FIELD1_SIZE, block, 1u));
}

// Half of the ue4m3 numbers in the two low bytes. Their bits are those of f16s, with exponents that are 8
// less.
fn half_scales(scales: u32) -> vec2<f32> {
  let first = scales & 0xffu;
  let second = scales & 0xff00u;
  let two_f16s = select((first & 0x7fu) << 7u, 0u, first == 0x7fu)
    | select((second & 0x7f00u) << 15u, 0u, second == 0x7f00u);
  return f16_values(two_f16s) * 128.0;
}

fn codes(raw: Raw, part: u32) -> Codes {
  let q = numbers_of(select(raw.first, raw.second, part == 1u));
  // The two weights of a byte are eight apart.
  return Codes(
    vec4<u32>(q.low.xy, q.high.xy),
    vec4<u32>(q.low.zw, q.high.zw),
    half_scales(raw.scales >> (16u * part)),
    vec2<f32>(0.0));
}
#endif
