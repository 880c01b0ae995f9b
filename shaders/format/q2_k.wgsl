// Q2_K: 16 bytes of a scale and a min of four bits each, 256 codes of two bits, d, dmin f16;
// w = d·sc·q - dmin·m. Sub-blocks of 16 weights.

const MAX_CODE = 3.0;

#ifdef SEARCH
#import lib/affine_search.wgsl

const FIRST = -0.5;
const STEPS = 15u;

fn spread_of(x: SubBlock) -> f32 { return 0.0; }

fn importance(x: vec4<f32>, spread: f32) -> vec4<f32> { return abs(x); }

fn penalty(difference: vec4<f32>) -> vec4<f32> { return abs(difference); }
#endif

#ifdef PACK
#import lib/affine_codes.wgsl

// Writes the codes of four sub-blocks that share bytes: every other sub-block of half a block. Also writes
// the scales and mins of four consecutive sub-blocks.
fn pack(block: u32, part: u32) {
  let first = block * SUB_BLOCKS;
  let a = found4(first);
  let b = found4(first + 4u);
  let c = found4(first + 8u);
  let d = found4(first + 12u);
  let scales = unit(max(max(a.scale, b.scale), max(c.scale, d.scale)), 15.0);
  let mins = unit(max(max(a.min, b.min), max(c.min, d.min)), 15.0);
  let row = found4(first + 4u * part);
  let at = block * BLOCK_WORDS;
  blocks[at + part] = in_units(row.scale, scales) | (in_units(row.min, mins) << 4u);
  if (part == 0u) {
    blocks[at + 20u] = scales.half | (mins.half << 16u);
  }

  let i = 8u * (part / 2u) + part % 2u;
  let line0 = line(first + i, scales, mins);
  let line1 = line(first + i + 2u, scales, mins);
  let line2 = line(first + i + 4u, scales, mins);
  let line3 = line(first + i + 6u, scales, mins);
  var farthest = vec4<f32>(0.0);
  for (var l = 0u; l < 4u; l++) {
    let x = block * BLOCK_QUADS + 4u * i + l;
    let codes0 = codes(weights(x), line0);
    let codes1 = codes(weights(x + 8u), line1);
    let codes2 = codes(weights(x + 16u), line2);
    let codes3 = codes(weights(x + 24u), line3);
    blocks[at + 4u + 4u * part + l] = codes0.bytes | (codes1.bytes << 2u)
      | (codes2.bytes << 4u) | (codes3.bytes << 6u);
    let first_two = max(codes0.distance, codes1.distance);
    farthest = max(farthest, max(first_two, max(codes2.distance, codes3.distance)));
  }
  if (too_far(farthest) || any(row.scale < vec4<f32>(0.0))) {
    decline(block);
  }
}
#endif

#ifdef DEQUANTIZE
#import lib/affine_decode.wgsl

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let i = quad / 4u;
  let fours = word(block, 4u + 8u * (i / 8u) + 4u * (i % 2u) + quad % 4u);
  let q = unpack4xU8((fours >> (2u * (i % 8u / 2u))) & 0x03030303u);
  let scale = byte(block, i);
  return affine(scale_bits(block, 80u), scale & 15u, scale_bits(block, 82u), scale >> 4u, q);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 2u;
const PART_STEP = 1u;
const ONE_SCALE = false;
const HAS_MIN = true;
const OFFSET = 0;
const CODE_BITS = 2u;

// Two parts of 32 weights, each of two sub-blocks: four bits of each byte of two vec4s.
struct Raw {
  a: vec4<u32>,  // the first sub-block of each part, the first part in the lowest bits
  b: vec4<u32>,  // the second sub-block of each part
  scales: u32,   // the scales and mins of the four sub-blocks
  d: vec2<f32>,  // d and dmin
}

fn fetch(block: u32, unit: u32) -> Raw {
  let codes = load_two_vec4s(FIELD1_AT, FIELD1_SIZE, block, unit / 2u);
  let up = vec4<u32>(4u * (unit % 2u));
  return Raw(
    codes.a >> up,
    codes.b >> up,
    load_word(4u * FIELD0_AT, 4u * FIELD0_SIZE, block, unit),
    f16_values(load_word(FIELD2_AT, FIELD2_SIZE, block, 0u)));
}

fn codes(raw: Raw, part: u32) -> Codes {
  // The scales and mins of four sub-blocks, of which a part has two.
  let sc = vec4<f32>(unpack4xU8(raw.scales & 0x0f0f0f0fu));
  let m = vec4<f32>(unpack4xU8((raw.scales >> 4u) & 0x0f0f0f0fu));
  let scales = select(sc.xy, sc.zw, part == 1u);
  let mins = select(m.xy, m.zw, part == 1u);
  return Codes(
    pairs_from(raw.a, 2u * part),
    pairs_from(raw.b, 2u * part),
    vec2<f32>(multiple(raw.d.x, scales.x), multiple(raw.d.x, scales.y)),
    vec2<f32>(multiple(raw.d.y, mins.x), multiple(raw.d.y, mins.y)));
}
#endif
