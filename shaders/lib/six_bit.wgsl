// The common part of Q4_K and Q5_K: eight sub-blocks of 32 weights, each with a scale sc and a min m of six
// bits; w = d·sc·q - dmin·m.
//
//   word 0: d and dmin, f16
//   word 1, byte j, low bits first: the six bits of sc of sub-block j, the top two of sc of sub-block 4+j
//   word 2, byte j: the six bits of m of sub-block j, the top two of m of sub-block 4+j
//   word 3, byte j: the low four bits of sc and of m of sub-block 4+j

#ifdef SEARCH
#import lib/affine_search.wgsl

fn add_squares(sum: f32, x: vec4<f32>) -> f32 { return accumulate(sum, mul4(x, x)); }

// The root mean square.
fn spread_of(x: SubBlock) -> f32 {
  var sum = 0.0;
#repeat i SUB_BLOCK_QUADS
  sum = add_squares(sum, x.q$i);
#end
  return square_root(mul(sum, 0.03125));
}

fn importance(x: vec4<f32>, spread: f32) -> vec4<f32> { return add4(vec4<f32>(spread), abs(x)); }

fn penalty(difference: vec4<f32>) -> vec4<f32> { return mul4(difference, difference); }
#endif

#ifdef PACK
#import lib/affine_codes.wgsl

struct Units { scales: Unit, mins: Unit }

// The units d and dmin. The first part also writes them, with the scales and mins.
fn head(block: u32, part: u32) -> Units {
  let first = found4(block * SUB_BLOCKS);
  let last = found4(block * SUB_BLOCKS + 4u);
  let units = Units(unit(max(first.scale, last.scale), 63.0), unit(max(first.min, last.min), 63.0));
  if (part == 0u) {
    let at = block * BLOCK_WORDS;
    let last_scales = in_units(last.scale, units.scales);
    let last_mins = in_units(last.min, units.mins);
    blocks[at] = units.scales.half | (units.mins.half << 16u);
    blocks[at + 1u] = in_units(first.scale, units.scales) | ((last_scales & 0x30303030u) << 2u);
    blocks[at + 2u] = in_units(first.min, units.mins) | ((last_mins & 0x30303030u) << 2u);
    blocks[at + 3u] = (last_scales & 0x0f0f0f0fu) | ((last_mins & 0x0f0f0f0fu) << 4u);
    if (any(min(first.scale, last.scale) < vec4<f32>(0.0))) {
      decline(block);
    }
  }
  return units;
}
#endif

#ifdef DEQUANTIZE
#import lib/affine_decode.wgsl

// sc and m of sub-block `i`.
fn six_bits_of(block: u32, i: u32) -> vec2<u32> {
  let shift = 8u * (i & 3u);
  let w1 = word(block, 1u) >> shift;
  let w2 = word(block, 2u) >> shift;
  let w3 = word(block, 3u) >> shift;
  return vec2<u32>(
    select(w1 & 63u, (w3 & 15u) | ((w1 >> 2u) & 48u), i >= 4u),
    select(w2 & 63u, ((w3 >> 4u) & 15u) | ((w2 >> 2u) & 48u), i >= 4u));
}

// Four weights of sub-block `i` with the codes q.
fn decode_six_bit(block: u32, i: u32, q: vec4<u32>) -> vec4<u32> {
  let bits = six_bits_of(block, i);
  return affine(scale_bits(block, 0u), bits.x, scale_bits(block, 2u), bits.y, q);
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const ONE_SCALE = true;
const HAS_MIN = true;
const OFFSET = 0;

// d and dmin, and the scales and the mins of two sub-blocks, a byte each.
struct SixBit {
  d: u32,
  sc: u32,
  m: u32,
}

// The scales and mins of sub-blocks 2·pair and 2·pair + 1, from the first 16 bytes of a block.
fn six_bits(head: vec4<u32>, pair: u32) -> SixBit {
  // Both sub-blocks at once, in the two low bytes: six bits of words 1 and 2, or two bits of them above four
  // bits of word 3.
  let up = 16u * (pair & 1u);
  let down = up | (pair & 2u);
  let late = select(0u, 0x0f0fu, pair >= 2u);
  let early = 0x3f3fu ^ late;
  return SixBit(
    head.x,
    ((head.y >> down) & early) | ((head.w >> up) & late),
    ((head.z >> down) & early) | ((head.w >> (up + 4u)) & late));
}

// Sub-block `part` of the two, with the codes a and b.
fn six_bit_codes(pair: SixBit, part: u32, a: vec4<u32>, b: vec4<u32>) -> Codes {
  let d = f16_values(pair.d);
  let sc = f32((pair.sc >> (8u * part)) & 0xffu);
  let m = f32((pair.m >> (8u * part)) & 0xffu);
  return Codes(a, b, vec2<f32>(multiple(d.x, sc)), vec2<f32>(multiple(d.y, m)));
}
#endif
