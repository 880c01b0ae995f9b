// The 16 levels of IQ4.

// The level of each index. (A table indexed at run time would be copied into every invocation.)
fn level(index: vec4<u32>) -> vec4<i32> {
  let odd_four = (index & vec4<u32>(4u)) != vec4<u32>(0u);
  let negative = select(vec4<u32>(0xbfad9881u), vec4<u32>(0xf6eaddcfu), odd_four);  // -127, -104, -83, -65; -49, -35, -22, -10
  let positive = select(vec4<u32>(0x26190d01u), vec4<u32>(0x71594535u), odd_four);  // 1, 13, 25, 38; 53, 69, 89, 113
  let four = select(negative, positive, index >= vec4<u32>(8u));
  // Byte index % 4, moved to the top and down again for its sign.
  return bitcast<vec4<i32>>(four << ((~index & vec4<u32>(3u)) * 8u)) >> vec4<u32>(24u);
}

#ifdef CODES
// The levels of low nibbles, and of high ones.
struct Levels {
  low: vec4<u32>,
  high: vec4<u32>,
}

// Those of one byte of each word: a word of the codebook has the level of the low nibble in its byte 0, that of the high one in byte 2.
fn looked_up(bytes: vec4<u32>) -> vec4<u32> {
  let i = bytes & vec4<u32>(0xffu);
  return vec4<u32>(grid[i.x], grid[i.y], grid[i.z], grid[i.w]);
}

fn levels_of(pairs: vec4<u32>) -> Levels {
  let first = looked_up(pairs) | (looked_up(pairs >> vec4<u32>(8u)) << vec4<u32>(8u));
  let last = looked_up(pairs >> vec4<u32>(16u)) | (looked_up(pairs >> vec4<u32>(24u)) << vec4<u32>(8u));
  return Levels((first & vec4<u32>(0xffffu)) | (last << vec4<u32>(16u)), (first >> vec4<u32>(16u)) | (last & vec4<u32>(0xffff0000u)));
}
#endif

fn reached(t: vec4<f32>, boundary: f32) -> vec4<u32> {
  return select(vec4<u32>(0u), vec4<u32>(1u), t >= vec4<f32>(boundary));
}

// The index of the level nearest to each, the upper one half way: the number of half-way points that it reaches.
fn nearest_level(t: vec4<f32>) -> vec4<u32> {
  let negative = reached(t, -115.5) + reached(t, -93.5) + reached(t, -74.0) + reached(t, -57.0)
    + reached(t, -42.0) + reached(t, -28.5) + reached(t, -16.0) + reached(t, -4.5);
  let positive = reached(t, 7.0) + reached(t, 19.0) + reached(t, 31.5) + reached(t, 45.5)
    + reached(t, 61.0) + reached(t, 79.0) + reached(t, 101.0);
  return negative + positive;
}
