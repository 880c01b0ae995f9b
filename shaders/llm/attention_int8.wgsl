// Stores 32 floats of the result in eight bits too.
fn store_attention_int8(block: u32) {
  let at = 8u * block;
  store_int8_by_1_lane(
    block, attended[at], attended[at + 1u], attended[at + 2u], attended[at + 3u], attended[at + 4u],
    attended[at + 5u], attended[at + 6u], attended[at + 7u]);
}
