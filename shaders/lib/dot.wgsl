// Dot products of signed bytes.

// By itself: naga writes MSL that declares an operand twice where two calls in one scope share it.
fn dot4(a: u32, b: u32) -> i32 { return dot4I8Packed(a, b); }

// 16 bytes, four in a word.
alias Sixteen = vec4<u32>;

fn sixteen(bytes: vec4<u32>) -> Sixteen { return bytes; }

#ifdef BROADCAST_X
fn of_lane0(x: Sixteen) -> Sixteen { return subgroupBroadcast(x, 0u); }
fn of_lane1(x: Sixteen) -> Sixteen { return subgroupBroadcast(x, 1u); }
fn of_lane2(x: Sixteen) -> Sixteen { return subgroupBroadcast(x, 2u); }
fn of_lane3(x: Sixteen) -> Sixteen { return subgroupBroadcast(x, 3u); }
fn of_lane4(x: Sixteen) -> Sixteen { return subgroupBroadcast(x, 4u); }
fn of_lane5(x: Sixteen) -> Sixteen { return subgroupBroadcast(x, 5u); }
fn of_lane6(x: Sixteen) -> Sixteen { return subgroupBroadcast(x, 6u); }
fn of_lane7(x: Sixteen) -> Sixteen { return subgroupBroadcast(x, 7u); }
#endif

// sum + what 16 bytes give: a chain, because the instruction adds too.
fn dot16(w: vec4<u32>, x: Sixteen, sum: i32) -> i32 { return dot4(w.w, x.w) + (dot4(w.z, x.z) + (dot4(w.y, x.y) + (dot4(w.x, x.x) + sum))); }
