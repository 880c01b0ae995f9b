// The place of int8 blocks (lib/int8_block.wgsl) in an array of vec4s. Blocks lie in groups of 8: first the
// `a` of each block of the group, then each `b`, then each `head`, so that lanes with consecutive blocks read
// consecutive vec4s. The blocks of 256 columns that begin at a multiple of 256 are such a group.
const INT8_GROUP = 8u;
// From the `a` of a block to its `b`, and to its `head`.
const INT8_B = INT8_GROUP;
const INT8_HEAD = 2u * INT8_GROUP;
// The index of the `a` of block `i`.
fn int8_block_at(i: u32) -> u32 { return i + 2u * (i - i % INT8_GROUP); }
