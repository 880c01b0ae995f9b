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
fn level_byte(indices: u32) -> u32 { return pack4xI8(level(unpack4xU8(indices))); }

// The levels of 16 indices, as bytes both.
fn level_bytes(indices: vec4<u32>) -> vec4<u32> {
  return vec4<u32>(level_byte(indices.x), level_byte(indices.y), level_byte(indices.z), level_byte(indices.w));
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
