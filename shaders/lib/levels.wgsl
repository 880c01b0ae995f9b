// The 16 levels of the IQ4 formats.

// The level of each index. (A table that is indexed at run time would be copied into every invocation.)
fn level(index: vec4<u32>) -> vec4<i32> {
  let odd_four = (index & vec4<u32>(4u)) != vec4<u32>(0u);
  // -127, -104, -83, -65; -49, -35, -22, -10
  let negative = select(vec4<u32>(0xbfad9881u), vec4<u32>(0xf6eaddcfu), odd_four);
  // 1, 13, 25, 38; 53, 69, 89, 113
  let positive = select(vec4<u32>(0x26190d01u), vec4<u32>(0x71594535u), odd_four);
  let four = select(negative, positive, index >= vec4<u32>(8u));
  // Byte index % 4, shifted to the top and down again, which extends its sign.
  return bitcast<vec4<i32>>(four << ((~index & vec4<u32>(3u)) * 8u)) >> vec4<u32>(24u);
}

#ifdef CODES
#import lib/numbers.wgsl

#ifdef PAIR_TABLE
fn number(index: vec4<u32>) -> vec4<i32> { return level(index); }
#else
// A level plus 128 is 16·index, less 16 for indices 9..=14, plus a low nibble. The bits of that nibble are
// computed one after another for all eight nibbles of a word, each in the lowest bit of its nibble. The steps
// are the fewest that a search found.
fn numbers_of(pairs: vec4<u32>) -> Numbers {
  let ones = vec4<u32>(0x11111111u);
  let b1 = pairs >> vec4<u32>(1u);
  let b2 = pairs >> vec4<u32>(2u);
  let b3 = pairs >> vec4<u32>(3u);
  let differ01 = pairs ^ b1;
  let differ02 = pairs ^ b2;
  let differ = differ01 | differ02;
  let less = b3 & differ;
  let l2 = pairs ^ ((pairs & b3) | differ01) ^ ((b2 & differ) | less);
  let l0 = l2 ^ ((b3 & b1) | ~differ);
  let t = less ^ l2;
  let l1 = differ01 ^ ((differ & pairs) | t);
  let l3 = differ & ((differ01 & differ02) | t);
  let low = (l0 & ones) | ((l1 & ones) << vec4<u32>(1u))
    | ((l2 & ones) << vec4<u32>(2u)) | ((l3 & ones) << vec4<u32>(3u));
  // Flipping bit 7 subtracts the 128 again.
  let high = (pairs - (less & ones)) ^ vec4<u32>(0x88888888u);
  let low_half = vec4<u32>(0x0f0f0f0fu);
  return Numbers(
    (low & low_half) | ((high << vec4<u32>(4u)) & ~low_half),
    ((low >> vec4<u32>(4u)) & low_half) | (high & ~low_half));
}
#endif
#endif

// 1 where t >= boundary.
fn reached(t: vec4<f32>, boundary: f32) -> vec4<u32> {
  return select(vec4<u32>(0u), vec4<u32>(1u), t >= vec4<f32>(boundary));
}

// The index of the nearest level, the upper one for ties: the number of points half way between levels that
// `t` reaches.
fn nearest_level(t: vec4<f32>) -> vec4<u32> {
  let negative = reached(t, -115.5) + reached(t, -93.5) + reached(t, -74.0) + reached(t, -57.0)
    + reached(t, -42.0) + reached(t, -28.5) + reached(t, -16.0) + reached(t, -4.5);
  let positive = reached(t, 7.0) + reached(t, 19.0) + reached(t, 31.5) + reached(t, 45.5)
    + reached(t, 61.0) + reached(t, 79.0) + reached(t, 101.0);
  return negative + positive;
}
