// Stores nothing: products take floats.
fn store_int8_by_2_lanes(lane: u32, i: u32, x: Four, is_there: bool) {}
