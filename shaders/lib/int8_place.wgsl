// Where the eight-bit form of block `i` begins, in quads: blocks lie in groups of 32, first a's of a group, then its b's, then its heads, so that lanes with blocks
// side by side read side by side.
fn int8_place(i: u32) -> u32 { return i + 2u * (i & 0xffffffe0u); }
const INT8_B = 32u;
const INT8_HEAD = 64u;
