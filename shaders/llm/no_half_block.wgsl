// Where products take floats, there is no other form of them.
fn store_half(lane: u32, i: u32, x: Four, is_there: bool) {}
