// Dot products of codes that are not negative and signed bytes, two by one multiplication of words: for a
// CPU's wide vectors, which have no dot product of bytes.
//
// The upper half of (c0 + 2¹⁶·c2)·(x2 + 2¹⁶·x0) is c0·x0 + c2·x2, less what the lower half, c0·x2, borrows
// from it.

// 16 bytes in words of two: for bytes x0 to x3, x2 + 2¹⁶·x0 and x3 + 2¹⁶·x1.
struct Sixteen {
  even: vec4<u32>,
  odd: vec4<u32>,
}

fn sixteen(bytes: vec4<u32>) -> Sixteen {
  let x0 = bitcast<vec4<i32>>(bytes << vec4<u32>(24u)) >> vec4<u32>(8u);
  let x1 = (bitcast<vec4<i32>>(bytes << vec4<u32>(16u)) >> vec4<u32>(8u)) & vec4<i32>(-65536);
  let x2 = bitcast<vec4<i32>>(bytes << vec4<u32>(8u)) >> vec4<u32>(24u);
  let x3 = bitcast<vec4<i32>>(bytes) >> vec4<u32>(24u);
  return Sixteen(bitcast<vec4<u32>>(x0 + x2), bitcast<vec4<u32>>(x1 + x3));
}

#ifdef BROADCAST_X
#repeat i 8
fn of_lane$i(x: Sixteen) -> Sixteen {
  return Sixteen(subgroupBroadcast(x.even, $iu), subgroupBroadcast(x.odd, $iu));
}
#end
#endif

// The upper half of a sum whose two halves are sums of signed numbers.
fn upper(sum: u32) -> i32 { return bitcast<i32>(sum + 0x8000u) >> 16u; }

// The dot product of 16 bytes, added to `sum`. A half of a word holds as many products as keep 127 times the
// largest code below 2¹⁵: 16 for codes of four bits, 8 for five, 4 for six.
fn dot16(w: vec4<u32>, x: Sixteen, sum: i32) -> i32 {
  let every_other = vec4<u32>(0x00ff00ffu);
  let fours = (w & every_other) * x.even + ((w >> vec4<u32>(8u)) & every_other) * x.odd;
#if CODE_BITS > 5
  return sum + upper(fours.x) + upper(fours.y) + upper(fours.z) + upper(fours.w);
#else
#if CODE_BITS == 5
  return sum + upper(fours.x + fours.y) + upper(fours.z + fours.w);
#else
  return sum + upper(fours.x + fours.y + fours.z + fours.w);
#endif
#endif
}
