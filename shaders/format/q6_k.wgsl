// Q6_K: ql[128], qh[64], scales[16] i8, d f16; w = d·sc·q, q in -32..32. Sub-blocks of 16 weights.
//
// Each half of a block has 64 bytes of ql and 32 of qh. The 32 weights of quarter k of the half have the low
// four bits of their q+32 in 32 of the bytes of ql, the first 32 for even k, in the low nibbles for k < 2.
// The high two bits are from bit 2k of the bytes of qh on.

#ifdef SEARCH
#import lib/sub_block.wgsl

fn codes(q: Quad, multiplier: f32) -> vec4<f32> {
  return round(clamp(q.x * multiplier, vec4<f32>(-32.0), vec4<f32>(31.0)));
}

// ggml's make_qx_quants: tries 19 multipliers around -32 / max and keeps the one whose least squares scale
// explains most.
fn search(sub_block: u32) {
  let x = sub_block_at(sub_block);
  let max = extreme_weight(x);
  let zero = is_zero(max);
  var fit = Fit(0.0, 0.0, 0.0);
  for (var i = 0; i < 19; i++) {
    // 0, -9..=-1, 1..=9
    let step = select(i - select(9, 10, i < 10), 0, i == 0);
    let multiplier = divide(-32.0 - mul(0.1, f32(step)), select(max, 1.0, zero));
    var sums = Sums(0.0, 0.0);
    sums = add_quad(sums, x.a, codes(x.a, multiplier));
    sums = add_quad(sums, x.b, codes(x.b, multiplier));
    sums = add_quad(sums, x.c, codes(x.c, multiplier));
    sums = add_quad(sums, x.d, codes(x.d, multiplier));
    fit = better(fit, multiplier, sums.lx, sums.l2);
  }
  // From 3·2^-24 to 2^17 the products that `better` compares are normal.
  let declined = select(1u, 0u, is_within(max, 0x34400000u, 0x48000000u));
  let found = vec4<u32>(bitcast<u32>(fit.scale), bitcast<u32>(fit.multiplier), 0u, declined);
  scratch[sub_block] = select(found, vec4<u32>(0u), zero);
}
#endif

#ifdef PACK
#import lib/stored_scale.wgsl

// Four codes + 32, as bytes: those of the search where the stored scale is 0, and 0 in a sub-block of zeros.
fn codes(x: vec4<f32>, scale: f32, multiplier: f32) -> u32 {
  let searched = vec4<i32>(round(clamp(x * multiplier, vec4<f32>(-32.0), vec4<f32>(31.0))));
  let rounded = rounded_quotients(x, select(scale, 1.0, scale == 0.0), -32.0, 31.0);
  let code = bytes(bitcast<vec4<u32>>(select(rounded, searched, vec4<bool>(scale == 0.0)) + vec4<i32>(32)));
  return select(code, 0u, multiplier == 0.0);
}

fn sub_block_codes(sub_block: u32, s: SuperScale) -> vec4<u32> {
  let scale = mul(s.d, stored_scale(sub_block, s));
  let multiplier = bitcast<f32>(scratch[sub_block].y);
  let x = sub_block * 4u;
  return vec4<u32>(
    codes(weights(x), scale, multiplier),
    codes(weights(x + 1u), scale, multiplier),
    codes(weights(x + 2u), scale, multiplier),
    codes(weights(x + 3u), scale, multiplier));
}

// The low four bits of the codes a in the low nibbles, and those of the codes b in the high ones.
fn low_bits(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
  let mask = vec4<u32>(0x0f0f0f0fu);
  return (a & mask) | ((b & mask) << vec4<u32>(4u));
}

// The high two bits of codes, from bit `up` of each byte on.
fn high_bits(code: vec4<u32>, up: u32) -> vec4<u32> {
  return ((code >> vec4<u32>(4u)) & vec4<u32>(0x03030303u)) << vec4<u32>(up);
}

// Writes every other sub-block of a half, and four of the scales.
fn pack(block: u32, part: u32) {
  let s = super_scale(block, -128.0);
  let first = block * SUB_BLOCKS;
  let at = block * BLOCK_WORDS;
  blocks[at + 48u + part] = bytes(bitcast<vec4<u32>>(stored_scales(first + 4u * part, s)));
  if (part == 0u) {
    blocks[at + 52u] = s.half;
  }

  let half = part >> 1u;
  let column = part & 1u;
  let q = first + 8u * half + column;
  let a = sub_block_codes(q, s);
  let b = sub_block_codes(q + 2u, s);
  let c = sub_block_codes(q + 4u, s);
  let d = sub_block_codes(q + 6u, s);
  let low = at + 16u * half + 4u * column;
  store4(low, low_bits(a, c));
  store4(low + 8u, low_bits(b, d));
  let high = at + 32u + 8u * half + 4u * column;
  store4(high, high_bits(a, 0u) | high_bits(b, 2u) | high_bits(c, 4u) | high_bits(d, 6u));
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  let half = quad >> 5u;
  let quarter = (quad >> 3u) & 3u;
  let column = quad & 7u;
  let low = (word(block, 16u * half + 8u * (quarter & 1u) + column) >> (4u * (quarter >> 1u))) & 0x0f0f0f0fu;
  let high = (word(block, 32u + 8u * half + column) >> (2u * quarter)) & 0x03030303u;
  let q = vec4<i32>(unpack4xU8(low | (high << 4u))) - vec4<i32>(32);
  let sc = unpack4xI8(byte(block, 192u + (quad >> 2u))).x;
  return scaled(scaled(scale_bits(block, 208u), vec4<i32>(sc)).x, q);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 2u;
const PART_STEP = 2u;
const ONE_SCALE = false;
const HAS_MIN = false;
const OFFSET = 32;
const CODE_BITS = 6u;

// Two parts of 32 weights, whose low bits share bytes: every other quarter of half a block.
struct Raw {
  low0: vec4<u32>,    // the low bits of the first 16 weights of each part, the first part in the low nibbles
  low1: vec4<u32>,    // the low bits of the last 16 weights of each part
  high0: vec4<u32>,   // the high bits of the weights in low0: from bit 0 on, and from bit 4 on
  high1: vec4<u32>,   // the high bits of the weights in low1
  scales: vec2<u32>,  // for each part, two scales in the low 16 bits of a word
  d: f32,
}

fn fetch(block: u32, unit: u32) -> Raw {
  let half = unit / 2u;
  let low = load_two_vec4s(FIELD0_AT, FIELD0_SIZE, block, unit);
  let high = load_two_vec4s(FIELD1_AT, FIELD1_SIZE, block, half);
  let up = vec4<u32>(2u * (unit % 2u));
  let scales = vec2<u32>(
    load_word(4u * FIELD2_AT, 4u * FIELD2_SIZE, block, 2u * half),
    load_word(4u * FIELD2_AT, 4u * FIELD2_SIZE, block, 2u * half + 1u));
  return Raw(
    low.a,
    low.b,
    high.a >> up,
    high.b >> up,
    scales >> vec2<u32>(16u * (unit % 2u)),
    f16_value(load_f16(FIELD3_AT, FIELD3_SIZE, block, 0u)));
}

// 16 weights of a part. The two high bits move to bits 4 and 5; those of other weights are masked away.
fn six_bits(low: vec4<u32>, high: vec4<u32>, part: u32) -> vec4<u32> {
  return nibbles_from(low, 4u * part) | ((high << vec4<u32>(4u - 4u * part)) & vec4<u32>(0x30303030u));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let sc = unpack4xI8(select(raw.scales.x, raw.scales.y, part == 1u));
  return Codes(
    six_bits(raw.low0, raw.high0, part),
    six_bits(raw.low1, raw.high1, part),
    vec2<f32>(multiple(raw.d, f32(sc.x)), multiple(raw.d, f32(sc.y))), vec2<f32>(0.0));
}
#endif
