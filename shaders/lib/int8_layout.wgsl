// Where the eight-bit form of block `i` begins, in quads: blocks lie in groups of 8, first a's of a group, then its b's, then its heads, so that lanes with blocks
// side by side read whole lines side by side. The blocks of 256 columns that begin at a multiple of 256 are such a group.
const INT8_GROUP = 8u;
fn int8_block_at(i: u32) -> u32 { return i + 2u * (i - i % INT8_GROUP); }
const INT8_B = INT8_GROUP;
const INT8_HEAD = 2u * INT8_GROUP;
