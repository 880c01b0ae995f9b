// Dot products of codes that are not negative and signed bytes, two by one multiplication of words: for a CPU's wide vectors, which have no dot product of bytes.
//
// (c0 + 2¹⁶·c2)·(x2 + 2¹⁶·x0) has c0·x0 + c2·x2 in its upper half, after what the lower half, c0·x2, borrows from it.

// 16 bytes in words of two: of x0 to x3, x2 + 2¹⁶·x0 and x3 + 2¹⁶·x1.
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
fn of_lane0(x: Sixteen) -> Sixteen { return Sixteen(subgroupBroadcast(x.even, 0u), subgroupBroadcast(x.odd, 0u)); }
fn of_lane1(x: Sixteen) -> Sixteen { return Sixteen(subgroupBroadcast(x.even, 1u), subgroupBroadcast(x.odd, 1u)); }
fn of_lane2(x: Sixteen) -> Sixteen { return Sixteen(subgroupBroadcast(x.even, 2u), subgroupBroadcast(x.odd, 2u)); }
fn of_lane3(x: Sixteen) -> Sixteen { return Sixteen(subgroupBroadcast(x.even, 3u), subgroupBroadcast(x.odd, 3u)); }
fn of_lane4(x: Sixteen) -> Sixteen { return Sixteen(subgroupBroadcast(x.even, 4u), subgroupBroadcast(x.odd, 4u)); }
fn of_lane5(x: Sixteen) -> Sixteen { return Sixteen(subgroupBroadcast(x.even, 5u), subgroupBroadcast(x.odd, 5u)); }
fn of_lane6(x: Sixteen) -> Sixteen { return Sixteen(subgroupBroadcast(x.even, 6u), subgroupBroadcast(x.odd, 6u)); }
fn of_lane7(x: Sixteen) -> Sixteen { return Sixteen(subgroupBroadcast(x.even, 7u), subgroupBroadcast(x.odd, 7u)); }
#endif

// The upper half of a sum, both of whose halves are sums of signed numbers.
fn upper(sum: u32) -> i32 { return bitcast<i32>(sum + 0x8000u) >> 16u; }

// sum + what 16 bytes give. A half holds so many products that 127 times the largest code goes into 2¹⁵: 16 of four bits, 8 of five, 4 of six.
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
