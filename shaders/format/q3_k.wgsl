// Q3_K: hmask[32], qs[64], scales[12] of six bits, d f16;
// w = d·(sc-32)·q, q in -4..4. Sub-blocks of 16 weights.
//
// Each half of a block has 32 bytes of qs. The 32 weights of quarter k of the half have the low two bits of
// their q+4 from bit 2k of these bytes on. The high bit of weight e is bit e/32 of hmask[e % 32]. Scale s has
// its low four bits in a nibble of byte s % 8 of the scales, the low nibble for s < 8, and its high two from
// bit 2·(s/4) of byte 8 + s % 4 on.

#ifdef SEARCH
#import lib/sub_block.wgsl

fn first_codes(q: Quad, multiplier: f32) -> vec4<f32> {
  return round(clamp(q.x * multiplier, vec4<f32>(-4.0), vec4<f32>(3.0)));
}

// a / b, rounded to f32 and then to an integer, ties to even, within -4..=3, for b > 0.
fn rounded_quotient(a: f32, b: f32) -> f32 {
  let size = abs(a);
  let below = floor(min(size * (1.0 / b), 3.5));
  // Far from the middle, an error does not change the side. Near it, both differences are exact, because
  // `even` is 0, 2 or 4.
  let middle = below + 0.5;
  let even = round(middle);
  let rest = add(sub(size, mul(even, b)), mul(even - middle, b));
  // A quotient within half a unit in the last place of the middle is rounded to the middle, and then to the
  // even integer.
  let half_place = bitcast<f32>((bitcast<u32>(middle) & 0x7f800000u) - (24u << 23u));
  let nearest = select(select(below, below + 1.0, rest > 0.0), even, abs(rest) <= half_place * b);
  return clamp(select(nearest, -nearest, a < 0.0), -4.0, 3.0);
}

// The sums, and the code of one weight in them.
struct Improved {
  sums: Sums,
  code: f32,
}

// Gives a weight the best code with all other codes fixed, if that explains more.
fn improve(sums: Sums, x: f32, w: f32, wx: f32, code: f32) -> Improved {
  let rest = Sums(sub(sums.lx, mul(wx, code)), sub(sums.l2, mul(mul(w, code), code)));
  let new_code = rounded_quotient(mul(x, rest.l2), rest.lx);
  let after = Sums(add(rest.lx, mul(wx, new_code)), add(rest.l2, mul(mul(w, new_code), new_code)));
  let explains_more = mul(after.lx, after.lx) * sums.l2 > mul(sums.lx, sums.lx) * after.l2;
  let better = rest.lx > 0.0 && new_code != code && explains_more;
  return Improved(
    Sums(select(sums.lx, after.lx, better), select(sums.l2, after.l2, better)),
    select(code, new_code, better));
}

struct ImprovedQuad {
  sums: Sums,
  code: vec4<f32>,
}

fn improve_quad(sums: Sums, q: Quad, code: vec4<f32>) -> ImprovedQuad {
  let x = improve(sums, q.x.x, q.w.x, q.wx.x, code.x);
  let y = improve(x.sums, q.x.y, q.w.y, q.wx.y, code.y);
  let z = improve(y.sums, q.x.z, q.w.z, q.wx.z, code.z);
  let w = improve(z.sums, q.x.w, q.w.w, q.wx.w, code.w);
  return ImprovedQuad(w.sums, vec4<f32>(x.code, y.code, z.code, w.code));
}

// Four codes + 4, as four nibbles.
fn nibbles(code: vec4<f32>) -> u32 {
  let q = vec4<u32>(code + vec4<f32>(4.0));
  return q.x | (q.y << 4u) | (q.z << 8u) | (q.w << 12u);
}

// ggml's make_q3_quants: rounds once, then improves one code at a time, for five sweeps.
fn search(sub_block: u32) {
  let x = sub_block_at(sub_block);
  let max = extreme_weight(x);
  let zero = is_zero(max);
  let multiplier = divide(-4.0, select(max, 1.0, zero));
  var a = first_codes(x.a, multiplier);
  var b = first_codes(x.b, multiplier);
  var c = first_codes(x.c, multiplier);
  var d = first_codes(x.d, multiplier);
  var sums = Sums(0.0, 0.0);
  sums = add_quad(sums, x.a, a);
  sums = add_quad(sums, x.b, b);
  sums = add_quad(sums, x.c, c);
  sums = add_quad(sums, x.d, d);
  for (var sweep = 0u; sweep < 5u; sweep++) {
    let after_a = improve_quad(sums, x.a, a);
    let after_b = improve_quad(after_a.sums, x.b, b);
    let after_c = improve_quad(after_b.sums, x.c, c);
    let after_d = improve_quad(after_c.sums, x.d, d);
    a = after_a.code;
    b = after_b.code;
    c = after_c.code;
    d = after_d.code;
    sums = after_d.sums;
  }
  // From 2^-16 to 2^13 the products that `improve` compares are normal.
  let declined = select(1u, 0u, is_within(max, 0x37800000u, 0x46000000u));
  let scale = bitcast<u32>(divide(sums.lx, sums.l2));
  let found = vec4<u32>(scale, nibbles(a) | (nibbles(b) << 16u), nibbles(c) | (nibbles(d) << 16u), declined);
  scratch[sub_block] = select(found, vec4<u32>(0u), zero);
}
#endif

#ifdef PACK
#import lib/stored_scale.wgsl

// Four codes + 4, as bytes: those of the search where the stored scale is 0.
fn codes(x: vec4<f32>, scale: f32, searched: u32) -> u32 {
  let rounded = rounded_quotients(x, select(scale, 1.0, scale == 0.0), -4.0, 3.0);
  let nibbles = (vec4<u32>(searched) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(7u);
  return bytes(select(bitcast<vec4<u32>>(rounded + vec4<i32>(4)), nibbles, vec4<bool>(scale == 0.0)));
}

fn sub_block_codes(sub_block: u32, s: SuperScale) -> vec4<u32> {
  let scale = mul(s.d, stored_scale(sub_block, s));
  let found = scratch[sub_block];
  let x = sub_block * 4u;
  return vec4<u32>(
    codes(weights(x), scale, found.y),
    codes(weights(x + 1u), scale, found.y >> 16u),
    codes(weights(x + 2u), scale, found.z),
    codes(weights(x + 3u), scale, found.z >> 16u));
}

// Four scales of six bits, as bytes.
fn six_bits(first: u32, s: SuperScale) -> u32 {
  return bytes(bitcast<vec4<u32>>(stored_scales(first, s) + vec4<i32>(32)));
}

// The last four words, the scales and d; 0 in a block of zeros.
fn tail(first: u32, s: SuperScale) -> vec4<u32> {
  let a = six_bits(first, s);
  let b = six_bits(first + 4u, s);
  let c = six_bits(first + 8u, s);
  let d = six_bits(first + 12u, s);
  let words = vec4<u32>(
    (a & 0x0f0f0f0fu) | ((c & 0x0f0f0f0fu) << 4u),
    (b & 0x0f0f0f0fu) | ((d & 0x0f0f0f0fu) << 4u),
    ((a >> 4u) & 0x03030303u) | ((b >> 2u) & 0x0c0c0c0cu) | (c & 0x30303030u) | ((d << 2u) & 0xc0c0c0c0u),
    s.half);
  return select(words, vec4<u32>(0u), s.inverse == 0.0);
}

// Writes every other sub-block.
fn pack(block: u32, part: u32) {
  let s = super_scale(block, -32.0);
  let first = block * SUB_BLOCKS;
  let at = block * BLOCK_WORDS;
  if (part == 0u) {
    store4(at + 24u, tail(first, s));
  }
  var high = vec4<u32>(0u);
  for (var half = 0u; half < 2u; half++) {
    var low = vec4<u32>(0u);
    for (var quarter = 0u; quarter < 4u; quarter++) {
      let row = 4u * half + quarter;
      let code = sub_block_codes(first + 2u * row + part, s);
      low |= (code & vec4<u32>(0x03030303u)) << vec4<u32>(2u * quarter);
      high |= ((code >> vec4<u32>(2u)) & vec4<u32>(0x01010101u)) << vec4<u32>(row);
    }
    store4(at + 8u + 8u * half + 4u * part, low);
  }
  store4(at + 4u * part, high);
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  let column = quad & 7u;
  let row = quad >> 3u;
  let low = (word(block, 8u + 8u * (row >> 2u) + column) >> (2u * (row & 3u))) & 0x03030303u;
  let high = (word(block, column) >> row) & 0x01010101u;
  let q = vec4<i32>(unpack4xU8(low | (high << 2u))) - vec4<i32>(4);
  let s = quad >> 2u;
  let sc_low = (byte(block, 96u + (s & 7u)) >> (4u * (s >> 3u))) & 15u;
  let sc_high = (byte(block, 104u + (s & 3u)) >> (2u * (s >> 2u))) & 3u;
  let sc = i32(sc_low | (sc_high << 4u)) - 32;
  return scaled(scaled(scale_bits(block, 108u), vec4<i32>(sc)).x, q);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 4u;
const PART_STEP = 1u;
const ONE_SCALE = false;
const HAS_MIN = false;
const OFFSET = 4;
const CODE_BITS = 3u;

// Four parts of 32 weights, which are half a block.
struct Raw {
  low0: vec4<u32>,    // the low bits of the first 16 weights of each part
  low1: vec4<u32>,    // the low bits of the last 16 weights of each part
  high: vec4<u32>,    // the high bits of the former in the low nibbles, and of the latter in the high ones
  scales: vec2<u32>,  // eight scales, a byte each
  d: f32,
}

fn fetch(block: u32, unit: u32) -> Raw {
  // A unit has four bits of each byte of high bits and of scales, the low ones or the high ones.
  let up = 4u * unit;
  let low = load_two_vec4s(FIELD1_AT, FIELD1_SIZE, block, unit);
  let high = load_two_vec4s(FIELD0_AT, FIELD0_SIZE, block, 0u);
  let mask = vec4<u32>(0x0f0f0f0fu);
  let low0 = load_word(FIELD2_AT, FIELD2_SIZE, block, 0u) >> up;
  let low1 = load_word(FIELD2_AT, FIELD2_SIZE, block, 1u) >> up;
  let high_scales = load_word(FIELD2_AT, FIELD2_SIZE, block, 2u) >> up;
  return Raw(
    low.a,
    low.b,
    ((high.a >> vec4<u32>(up)) & mask) | ((high.b << vec4<u32>(4u - up)) & ~mask),
    vec2<u32>(
      (low0 & 0x0f0f0f0fu) | ((high_scales & 0x03030303u) << 4u),
      (low1 & 0x0f0f0f0fu) | ((high_scales & 0x0c0c0c0cu) << 2u)),
    f16_value(load_f16(FIELD3_AT, FIELD3_SIZE, block, 0u)));
}

// 16 weights of part `quarter`, whose high bits begin at bit `up` of each byte.
fn three_bits(low: vec4<u32>, high: vec4<u32>, quarter: u32, up: u32) -> vec4<u32> {
  let at = up + quarter;
  let moved = (high << vec4<u32>(max(at, 2u) - at)) >> vec4<u32>(max(at, 2u) - 2u);
  return pairs_from(low, 2u * quarter) | (moved & vec4<u32>(0x04040404u));
}

fn codes(raw: Raw, part: u32) -> Codes {
  let sc = vec4<f32>(unpack4xU8(select(raw.scales.x, raw.scales.y, part >= 2u))) - 32.0;
  let scales = select(sc.xy, sc.zw, part % 2u == 1u);
  return Codes(
    three_bits(raw.low0, raw.high, part, 0u),
    three_bits(raw.low1, raw.high, part, 4u),
    vec2<f32>(multiple(raw.d, scales.x), multiple(raw.d, scales.y)), vec2<f32>(0.0));
}
#endif
