// Q3_K: hmask[32], qs[64], scales[12] of six bits, d f16; w = d·(sc-32)·q, q in -4..4. Sub-blocks of 16 weights.
//
// Of each half, quarter k has the low two bits of its q+4 in bits 2k.. of the bytes of the half's qs; the high bit of weight e is bit e/32 of hmask[e % 32].
// Scale s has its low four bits in a nibble of byte s % 8, the low one for s < 8, and its high two in bits 2·(s/4).. of byte 8 + s % 4.

#ifdef SEARCH
#import lib/scale_search.wgsl

// Four weights with their weights in the sums: x, x², x³.
struct Quad {
  x: vec4<f32>,
  w: vec4<f32>,
  wx: vec4<f32>,
}

fn quad(i: u32) -> Quad {
  let x = weights(i);
  let w = mul4(x, x);
  return Quad(x, w, mul4(w, x));
}

// Σ x²·code·x and Σ x²·code².
struct Sums {
  lx: f32,
  l2: f32,
}

fn first_codes(q: Quad, multiplier: f32) -> vec4<f32> {
  return round(clamp(q.x * multiplier, vec4<f32>(-4.0), vec4<f32>(3.0)));
}

fn add_quad(sums: Sums, q: Quad, code: vec4<f32>) -> Sums {
  return Sums(accumulate(sums.lx, mul4(q.wx, code)), accumulate(sums.l2, mul4(mul4(q.w, code), code)));
}

// The sums, and the code that one weight has in them.
struct Improved {
  sums: Sums,
  code: f32,
}

// Gives a weight the code that is best while all others stay, if that explains more.
fn improve(sums: Sums, x: f32, w: f32, wx: f32, code: f32) -> Improved {
  let rest = Sums(sub(sums.lx, mul(wx, code)), sub(sums.l2, mul(mul(w, code), code)));
  let scaled = mul(x, rest.l2);
  // A quotient that rounds to 0 may be too small for divide.
  let quotient = select(divide(scaled, rest.lx), 0.0, abs(scaled) < 0.25 * rest.lx);
  let new_code = round(clamp(quotient, -4.0, 3.0));
  let after = Sums(add(rest.lx, mul(wx, new_code)), add(rest.l2, mul(mul(w, new_code), new_code)));
  let explains_more = mul(after.lx, after.lx) * sums.l2 > mul(sums.lx, sums.lx) * after.l2;
  let better = rest.lx > 0.0 && new_code != code && explains_more;
  return Improved(
    Sums(select(sums.lx, after.lx, better), select(sums.l2, after.l2, better)), select(code, new_code, better));
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

// Four codes + 4, as the nibbles of 16 bits.
fn nibbles(code: vec4<f32>) -> u32 {
  let q = vec4<u32>(code + vec4<f32>(4.0));
  return q.x | (q.y << 4u) | (q.z << 8u) | (q.w << 12u);
}

// ggml's make_q3_quants: rounds once, then improves one code at a time, for five sweeps.
fn search(sub_block: u32) {
  let at = sub_block * 4u;
  let a = quad(at);
  let b = quad(at + 1u);
  let c = quad(at + 2u);
  let d = quad(at + 3u);
  let max = larger(larger(extreme(a.x), extreme(b.x)), larger(extreme(c.x), extreme(d.x)));
  let zero = is_zero(max);
  let multiplier = divide(-4.0, select(max, 1.0, zero));
  var a_code = first_codes(a, multiplier);
  var b_code = first_codes(b, multiplier);
  var c_code = first_codes(c, multiplier);
  var d_code = first_codes(d, multiplier);
  var sums = Sums(0.0, 0.0);
  sums = add_quad(sums, a, a_code);
  sums = add_quad(sums, b, b_code);
  sums = add_quad(sums, c, c_code);
  sums = add_quad(sums, d, d_code);
  for (var sweep = 0u; sweep < 5u; sweep++) {
    let new_a = improve_quad(sums, a, a_code);
    let new_b = improve_quad(new_a.sums, b, b_code);
    let new_c = improve_quad(new_b.sums, c, c_code);
    let new_d = improve_quad(new_c.sums, d, d_code);
    sums = new_d.sums;
    a_code = new_a.code;
    b_code = new_b.code;
    c_code = new_c.code;
    d_code = new_d.code;
  }
  // Products of squares of the sums are normal for a magnitude of 2^-16..2^13.
  let declined = select(1u, 0u, is_within(max, 0x37800000u, 0x46000000u));
  let scale = bitcast<u32>(divide(sums.lx, sums.l2));
  let low = nibbles(a_code) | (nibbles(b_code) << 16u);
  let high = nibbles(c_code) | (nibbles(d_code) << 16u);
  scratch[sub_block] = select(vec4<u32>(scale, low, high, declined), vec4<u32>(0u), zero);
}
#endif

#ifdef PACK
#import lib/scale_search.wgsl

// The scale that is stored, less 32, for one that was found.
fn stored(found: u32, inverse: f32) -> f32 {
  return clamp(round(inverse * bitcast<f32>(found)), -32.0, 31.0);
}

// The codes of four weights, as bytes. Where the stored scale is 0 they are those of the search.
fn codes(x: vec4<f32>, scale: f32, searched: u32) -> u32 {
  let rounded = rounded_quotients(x, select(scale, 1.0, scale == 0.0), -4.0, 3.0);
  let four = (vec4<u32>(searched) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(7u);
  return bytes(select(bitcast<vec4<u32>>(rounded + vec4<i32>(4)), four, vec4<bool>(scale == 0.0)));
}

// The codes of a sub-block.
fn sub_block_codes(sub_block: u32, d: f32, inverse: f32) -> vec4<u32> {
  let found = scratch[sub_block];
  let scale = d * stored(found.x, inverse);
  let x = sub_block * 4u;
  return vec4<u32>(
    codes(weights(x), scale, found.y),
    codes(weights(x + 1u), scale, found.y >> 16u),
    codes(weights(x + 2u), scale, found.z),
    codes(weights(x + 3u), scale, found.z >> 16u));
}

fn store4(at: u32, words: vec4<u32>) {
  blocks[at] = words.x;
  blocks[at + 1u] = words.y;
  blocks[at + 2u] = words.z;
  blocks[at + 3u] = words.w;
}

// A part is half of the columns of a block.
fn pack(block: u32, part: u32) {
  let first = block * SUB_BLOCKS;
  var max = 0.0;
  var declined = 0u;
  for (var s = 0u; s < SUB_BLOCKS; s++) {
    let found = scratch[first + s];
    max = larger(max, bitcast<f32>(found.x));
    declined |= found.w;
  }
  if (declined != 0u) {
    decline(block);
  }
  // The scale of largest magnitude, with its sign, becomes -32.
  let zero = max == 0.0;
  let inverse = select(divide(-32.0, max), 0.0, zero);
  let d_bits = select(f32_bits_to_f16(bitcast<u32>(divide(1.0, inverse))), 0u, zero);
  let d = bitcast<f32>(f16_to_f32_bits(d_bits));

  let at = block * BLOCK_WORDS;
  if (part == 0u) {
    store_scales(at, first, inverse, zero);
    blocks[at + 27u] = d_bits;
  }
  var high = vec4<u32>(0u);
  for (var half = 0u; half < 2u; half++) {
    var low = vec4<u32>(0u);
    for (var quarter = 0u; quarter < 4u; quarter++) {
      let row = 4u * half + quarter;
      let code = sub_block_codes(first + 2u * row + part, d, inverse);
      low |= (code & vec4<u32>(0x03030303u)) << vec4<u32>(2u * quarter);
      high |= ((code >> vec4<u32>(2u)) & vec4<u32>(0x01010101u)) << vec4<u32>(row);
    }
    store4(at + 8u + 8u * half + 4u * part, low);
  }
  store4(at + 4u * part, high);
}

// The scales of four sub-blocks as stored, as bytes.
fn scales(sub_block: u32, inverse: f32) -> u32 {
  return bytes(vec4<u32>(vec4<f32>(32.0) + vec4<f32>(
    stored(scratch[sub_block].x, inverse),
    stored(scratch[sub_block + 1u].x, inverse),
    stored(scratch[sub_block + 2u].x, inverse),
    stored(scratch[sub_block + 3u].x, inverse))));
}

// A block of zeros has zeros here too.
fn store_scales(at: u32, first: u32, inverse: f32, zero: bool) {
  let a = select(scales(first, inverse), 0u, zero);
  let b = select(scales(first + 4u, inverse), 0u, zero);
  let c = select(scales(first + 8u, inverse), 0u, zero);
  let d = select(scales(first + 12u, inverse), 0u, zero);
  blocks[at + 24u] = (a & 0x0f0f0f0fu) | ((c & 0x0f0f0f0fu) << 4u);
  blocks[at + 25u] = (b & 0x0f0f0f0fu) | ((d & 0x0f0f0f0fu) << 4u);
  blocks[at + 26u] = ((a >> 4u) & 0x03030303u) | ((b >> 2u) & 0x0c0c0c0cu) | (c & 0x30303030u) | ((d << 2u) & 0xc0c0c0c0u);
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
