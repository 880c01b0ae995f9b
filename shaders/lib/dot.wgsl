// Dot products of signed bytes.

// A function, because naga's MSL declares an operand twice where two calls in one scope share it.
fn dot4(a: u32, b: u32) -> i32 { return dot4I8Packed(a, b); }

// 16 bytes, four in a word.
alias Sixteen = vec4<u32>;

fn sixteen(bytes: vec4<u32>) -> Sixteen { return bytes; }

#ifdef BROADCAST_X
#repeat i 8
fn of_lane$i(x: Sixteen) -> Sixteen { return subgroupBroadcast(x, $iu); }
#end
#endif

// The dot product of 16 bytes, added to `sum`: a chain, because the instruction adds too.
fn dot16(w: vec4<u32>, x: Sixteen, sum: i32) -> i32 {
  return dot4(w.w, x.w) + (dot4(w.z, x.z) + (dot4(w.y, x.y) + (dot4(w.x, x.x) + sum)));
}
