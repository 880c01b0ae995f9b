// Stores 32 numbers of the result in eight bits too.
fn store_attended_block(block: u32) {
  let at = 8u * block;
  store_block(
    block, attended[at], attended[at + 1u], attended[at + 2u], attended[at + 3u], attended[at + 4u], attended[at + 5u], attended[at + 6u],
    attended[at + 7u]);
}
