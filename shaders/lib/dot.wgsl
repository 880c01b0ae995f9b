// Dot products of signed bytes.

// By itself: naga writes MSL that declares an operand twice where two calls in one scope share it.
fn dot4(a: u32, b: u32) -> i32 { return dot4I8Packed(a, b); }

// sum + what 16 bytes give: a chain, because the instruction adds too.
fn dot16(w: vec4<u32>, x: vec4<u32>, sum: i32) -> i32 { return dot4(w.w, x.w) + (dot4(w.z, x.z) + (dot4(w.y, x.y) + (dot4(w.x, x.x) + sum))); }
