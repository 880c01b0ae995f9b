// Where products take floats, there is no other form of them.
fn store_eighth(lane: u32, i: u32, x: vec4<f32>, is_there: bool) {}
