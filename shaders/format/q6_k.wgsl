// Q6_K: ql[128], qh[64], scales[16] i8, d f16; w = d·sc·q, q in -32..32. Sub-blocks of 16 weights.
//
// Of each half, quarter k (words 8k..) has the low four bits of its q+32 in words 8·(k%2).. of the half's ql, in the low nibbles for k < 2, and the
// high two in bits 2k.. of the bytes of the half's qh.

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

fn add_quad(sums: Sums, q: Quad, multiplier: f32) -> Sums {
  let code = round(clamp(q.x * multiplier, vec4<f32>(-32.0), vec4<f32>(31.0)));
  return Sums(accumulate(sums.lx, mul4(q.wx, code)), accumulate(sums.l2, mul4(mul4(q.w, code), code)));
}

// ggml's make_qx_quants: of 19 multipliers around -32 / max, the one whose least squares scale explains most.
fn search(sub_block: u32) {
  let at = sub_block * 4u;
  let a = quad(at);
  let b = quad(at + 1u);
  let c = quad(at + 2u);
  let d = quad(at + 3u);
  let max = larger(larger(extreme(a.x), extreme(b.x)), larger(extreme(c.x), extreme(d.x)));
  let zero = is_zero(max);
  let divisor = select(max, 1.0, zero);
  var fit = Fit(0.0, 0.0, 0.0);
  for (var i = 0; i < 19; i++) {
    // 0, -9..=-1, 1..=9
    let step = select(i - select(9, 10, i < 10), 0, i == 0);
    let multiplier = divide(-32.0 - mul(0.1, f32(step)), divisor);
    var sums = Sums(0.0, 0.0);
    sums = add_quad(sums, a, multiplier);
    sums = add_quad(sums, b, multiplier);
    sums = add_quad(sums, c, multiplier);
    sums = add_quad(sums, d, multiplier);
    fit = better(fit, multiplier, sums.lx, sums.l2);
  }
  // Squares of the sums are normal for a magnitude of 3·2^-24..2^17.
  let declined = select(1u, 0u, is_within(max, 0x34400000u, 0x48000000u));
  let found = vec4<u32>(bitcast<u32>(fit.scale), bitcast<u32>(fit.multiplier), declined, 0u);
  scratch[sub_block] = select(found, vec4<u32>(0u), zero);
}
#endif

#ifdef PACK
#import lib/scale_search.wgsl

// The scale that is stored for one that was found.
fn stored(found: f32, inverse: f32) -> i32 { return min(i32(round(inverse * found)), 127); }

// The codes of four weights, as bytes. Where the stored scale is 0 they are those of the search; a sub-block of zeros has codes 0.
fn codes(x: vec4<f32>, scale: f32, multiplier: f32) -> u32 {
  let searched = vec4<i32>(round(clamp(x * multiplier, vec4<f32>(-32.0), vec4<f32>(31.0))));
  let rounded = rounded_quotients(x, select(scale, 1.0, scale == 0.0), -32.0, 31.0);
  let code = bytes(bitcast<vec4<u32>>(select(rounded, searched, vec4<bool>(scale == 0.0)) + vec4<i32>(32)));
  return select(code, 0u, multiplier == 0.0);
}

// The codes of a sub-block.
fn sub_block_codes(sub_block: u32, d: f32, inverse: f32) -> vec4<u32> {
  let found = bitcast<vec4<f32>>(scratch[sub_block]);
  let scale = d * f32(stored(found.x, inverse));
  let x = sub_block * 4u;
  return vec4<u32>(
    codes(weights(x), scale, found.y),
    codes(weights(x + 1u), scale, found.y),
    codes(weights(x + 2u), scale, found.y),
    codes(weights(x + 3u), scale, found.y));
}

fn store4(at: u32, words: vec4<u32>) {
  blocks[at] = words.x;
  blocks[at + 1u] = words.y;
  blocks[at + 2u] = words.z;
  blocks[at + 3u] = words.w;
}

// A part is half of the columns of half of a block.
fn pack(block: u32, part: u32) {
  let first = block * SUB_BLOCKS;
  var max = 0.0;
  var declined = 0u;
  for (var s = 0u; s < SUB_BLOCKS; s++) {
    let found = scratch[first + s];
    max = larger(max, bitcast<f32>(found.x));
    declined |= found.z;
  }
  if (declined != 0u) {
    decline(block);
  }
  // The scale of largest magnitude, with its sign, becomes -128.
  let zero = max == 0.0;
  let inverse = select(divide(-128.0, max), 0.0, zero);
  let d_bits = select(f32_bits_to_f16(bitcast<u32>(divide(1.0, inverse))), 0u, zero);
  let d = bitcast<f32>(f16_to_f32_bits(d_bits));

  let at = block * BLOCK_WORDS;
  let s = first + 4u * part;
  blocks[at + 48u + part] = bytes(bitcast<vec4<u32>>(vec4<i32>(
    stored(bitcast<f32>(scratch[s].x), inverse),
    stored(bitcast<f32>(scratch[s + 1u].x), inverse),
    stored(bitcast<f32>(scratch[s + 2u].x), inverse),
    stored(bitcast<f32>(scratch[s + 3u].x), inverse))));
  if (part == 0u) {
    blocks[at + 52u] = d_bits;
  }

  let half = part >> 1u;
  let column = part & 1u;
  let q = first + 8u * half + column;
  let q0 = sub_block_codes(q, d, inverse);
  let q1 = sub_block_codes(q + 2u, d, inverse);
  let q2 = sub_block_codes(q + 4u, d, inverse);
  let q3 = sub_block_codes(q + 6u, d, inverse);
  let low = vec4<u32>(0x0f0f0f0fu);
  let four = vec4<u32>(4u);
  let high = vec4<u32>(0x03030303u);
  store4(at + 16u * half + 4u * column, (q0 & low) | ((q2 & low) << four));
  store4(at + 16u * half + 4u * column + 8u, (q1 & low) | ((q3 & low) << four));
  store4(at + 32u + 8u * half + 4u * column,
    ((q0 >> four) & high) | (((q1 >> four) & high) << vec4<u32>(2u)) |
    (((q2 >> four) & high) << four) | (((q3 >> four) & high) << vec4<u32>(6u)));
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
