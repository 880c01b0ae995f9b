// MXFP4: e, a byte, and 32 e2m1 numbers of four bits; w = 2^(e-128)·q, where q is the doubled e2m1 number.

#import lib/e2m1.wgsl

#ifdef QUANTIZE
#import lib/extremes.wgsl
#import lib/pack.wgsl

// C's floorf(log2f(x)) for the bits of a normal x, where log2f rounds to nearest; src/format/mxfp4.rs has the
// reason.
fn floor_log2(bits: u32) -> i32 {
  let exponent = i32(bits >> 23u) - 127;
  let missing = 0x800000u - (bits & 0x7fffffu);
  let neighbour = f32(exponent ^ (exponent >> 31u));
  let binade = bitcast<f32>(bitcast<u32>(neighbour) & 0x7f800000u);
  return exponent + select(0, 1, f32(missing) <= binade * 0.6931472);
}

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let largest = largest_magnitude(x, BLOCK_QUADS);
  if (!in_range(largest)) {
    decline(block);
  }
  // The greatest e2m1 number is 6, whose exponent is 2.
  let e = select(u32(floor_log2(largest) - 2 + 127), 0u, largest == 0u);
  // 2^(e-128), which is normal except for a block of zeros, where any d will do.
  let d = bitcast<f32>(select((e - 1u) << 23u, 0u, largest == 0u));
  let at = block * BLOCK_WORDS;
  // e takes the first byte of a word, so each word has the end of four bytes of nibbles and the start of the
  // next four.
  var before = e;
  for (var i = 0u; i < 4u; i++) {
    let pairs = nibbles(nearest_e2m1(weights(x + i), d), nearest_e2m1(weights(x + i + 4u), d));
    blocks[at + i] = before | (pairs << 8u);
    before = pairs >> 24u;
  }
  blocks[at + 4u] = before;
}
#endif

#ifdef DEQUANTIZE
// The bits of 2^(e-128)·q, which may be subnormal or infinite.
fn shifted(e: u32, q: vec4<i32>) -> vec4<u32> {
  let bits = bitcast<vec4<u32>>(vec4<f32>(abs(q)));
  // 128 more than the exponent of the product.
  let exponent = (bits >> vec4<u32>(23u)) + e;
  let normal = bits + ((e - 128u) << 23u);
  let subnormal = ((bits & vec4<u32>(0x7fffffu)) | vec4<u32>(0x800000u)) >> (129u - exponent);
  let finite = select(normal, subnormal, exponent <= vec4<u32>(128u));
  let size = select(finite, vec4<u32>(0x7f800000u), exponent >= vec4<u32>(383u));
  let sign = bitcast<vec4<u32>>(q) & vec4<u32>(0x80000000u);
  return select(sign | size, vec4<u32>(0u), q == vec4<i32>(0));
}

fn decode(block: u32, quad: u32) -> vec4<u32> {
  // The nibbles start at byte 1.
  let n = quad & 3u;
  let pairs = (word(block, n) >> 8u) | (word(block, n + 1u) << 24u);
  let codes = unpack4xU8((pairs >> (quad & 4u)) & 0x0f0f0f0fu);
  return shifted(byte(block, 0u), e2m1_doubled(codes));
}
#endif

#ifdef CODES
#import lib/codes.wgsl

const UNIT_PARTS = 1u;
const PART_STEP = 1u;
const ONE_SCALE = true;
const HAS_MIN = false;
const OFFSET = 0;
const CODE_BITS = 8u;

struct Raw {
  e: u32,
  pairs: vec4<u32>,
}

fn fetch(block: u32, unit: u32) -> Raw {
  return Raw(load_byte(FIELD0_AT, FIELD0_SIZE, block, 0u), load_vec4(FIELD1_AT, FIELD1_SIZE, block, 0u));
}

fn codes(raw: Raw, part: u32) -> Codes {
  // 2^(e-128). For e = 0 and e = 1 it is subnormal, 2^-128 and 2^-127; from e = 2 on `normal` is the greater
  // one.
  let normal = bitcast<i32>((raw.e << 23u) - 0x00800000u);
  let subnormal = bitcast<i32>((raw.e << 21u) + 0x00200000u);
  let numbers = numbers_of(raw.pairs);
  return without_min(numbers.low, numbers.high, bitcast<f32>(max(normal, subnormal)));
}
#endif
