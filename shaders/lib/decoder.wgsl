// What is in the blocks to decode, which the kernel declares as `blocks`. Products and differences that are
// IEEE 754's, bit for bit, for any operands.

#import lib/exact.wgsl

#ifdef MATRIX
#import matrix/file_block.wgsl
#else
fn word(block: u32, n: u32) -> u32 { return blocks[block * BLOCK_WORDS + n]; }

// The 16 bits at an even byte of a block.
fn half(block: u32, at: u32) -> u32 { return (word(block, at >> 2u) >> ((at & 2u) * 8u)) & 0xffffu; }

// A byte of a block.
fn byte(block: u32, at: u32) -> u32 { return (word(block, at >> 2u) >> ((at & 3u) * 8u)) & 0xffu; }
#endif

// The four bytes of a block from an even byte on.
fn bytes_at(block: u32, at: u32) -> u32 { return half(block, at) | (half(block, at + 2u) << 16u); }

// The f32 bits of the f16 at an even byte of a block.
fn scale_bits(block: u32, at: u32) -> u32 { return f16_to_f32_bits(half(block, at)); }

// The bits of scale·q, rounded, for |q| < 2^24. Zeros have their sign, and infinity and NaN are as in IEEE
// 754.
fn scaled(scale: u32, q: vec4<i32>) -> vec4<u32> {
  let sign = (vec4<u32>(scale) ^ bitcast<vec4<u32>>(q)) & vec4<u32>(0x80000000u);
  let size = scale & 0x7fffffffu;
  let finite_scale = bitcast<f32>(select(size, 0u, size >= 0x7f800000u));
  let product = bitcast<vec4<u32>>(opaque4(vec4<f32>(finite_scale) * vec4<f32>(abs(q))));
  let finite = sign | (product & vec4<u32>(0x7fffffffu));
  let infinite = select(
    sign | vec4<u32>(0x7f800000u),
    vec4<u32>(0x7fc00000u),
    (q == vec4<i32>(0)) | vec4<bool>(size > 0x7f800000u));
  return select(finite, infinite, vec4<bool>(size >= 0x7f800000u));
}

// The bits of a - b, rounded. Zeros have their sign, and infinity and NaN are as in IEEE 754.
fn difference(a: vec4<u32>, b: u32) -> vec4<u32> {
  let magnitude_mask = vec4<u32>(0x7fffffffu);
  let infinity = vec4<u32>(0x7f800000u);
  let minus_b = vec4<u32>(b ^ 0x80000000u);
  let a_size = a & magnitude_mask;
  let b_size = minus_b & magnitude_mask;
  let special_a = a_size >= infinity;
  let special_b = b_size >= infinity;
  let a_finite = select(a, vec4<u32>(0u), special_a);
  let b_finite = select(vec4<u32>(b), vec4<u32>(0u), special_b);
  let bits = bitcast<vec4<u32>>(opaque4(bitcast<vec4<f32>>(a_finite) - bitcast<vec4<f32>>(b_finite)));
  // A difference of 0 is +0, unless it is -0 - +0.
  let zero = (bits & magnitude_mask) == vec4<u32>(0u);
  let finite = select(bits, a & minus_b & vec4<u32>(0x80000000u), zero);
  // inf - inf and anything with NaN is NaN; otherwise the infinite operand wins.
  let nan = (a_size > infinity) | (b_size > infinity) | (special_a & special_b & (a != minus_b));
  let winner = select(minus_b, a, special_a);
  return select(select(finite, winner, special_a | special_b), vec4<u32>(0x7fc00000u), nan);
}

// The bits of a + b, in the same way.
fn sum(a: vec4<u32>, b: u32) -> vec4<u32> { return difference(a, b ^ 0x80000000u); }
