// Stores nothing: products take floats.
fn store_int8_by_8_lanes(lane: u32, i: u32, x: vec4<f32>, is_there: bool) {}
