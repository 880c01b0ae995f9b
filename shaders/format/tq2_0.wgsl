// TQ2_0: 256 codes of two bits, d f16; w = d·(q-1). The four codes of a byte are 32 weights apart.

#ifdef QUANTIZE
#import lib/extremes.wgsl
#import lib/ternary.wgsl

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let d = largest_magnitude(x, BLOCK_QUADS);
  if (!in_range(d)) {
    decline(block);
  }
  let multiplier = inverse_or_zero(bitcast<f32>(d));
  let at = block * BLOCK_WORDS;
  for (var i = 0u; i < 16u; i++) {
    let quad = x + 32u * (i / 8u) + i % 8u;
    var codes = vec4<u32>(0u);
    for (var n = 0u; n < 4u; n++) {
      codes |= ternary(weights(quad + 8u * n), multiplier) << vec4<u32>(2u * n);
    }
    blocks[at + i] = bytes(codes);
  }
  blocks[at + 16u] = f32_bits_to_f16(d);
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  let codes = word(block, 8u * (quad / 32u) + quad % 8u) >> (2u * (quad / 8u % 4u));
  let q = bitcast<vec4<i32>>(unpack4xU8(codes & 0x03030303u));
  return scaled(scale_bits(block, 64u), q - 1);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 2u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = true;
const OFFSET = 0;
const CODE_BITS = 4u;

// Two parts of 32 weights: the first in the lowest two bits of each byte, the second in the next two.
struct Raw {
  d: f32,
  a: vec4<u32>,
  b: vec4<u32>,
}

fn fetch(block: u32, unit: u32) -> Raw {
  let at = unit & 2u;
  let up = vec4<u32>(4u * (unit & 1u));
  return Raw(
    f16_value(load_f16(FIELD1_AT, FIELD1_SIZE, block, 0u)),
    load_vec4(FIELD0_AT, FIELD0_SIZE, block, at) >> up,
    load_vec4(FIELD0_AT, FIELD0_SIZE, block, at + 1u) >> up);
}

// The codes of the second part remain four times too large, with a fourth of the scale.
fn codes(raw: Raw, part: u32) -> Codes {
  let mask = vec4<u32>(select(0x03030303u, 0x0c0c0c0cu, part == 1u));
  let scale = select(raw.d, 0.25 * raw.d, part == 1u);
  return Codes(raw.a & mask, raw.b & mask, vec2<f32>(scale), vec2<f32>(raw.d));
}
#endif
