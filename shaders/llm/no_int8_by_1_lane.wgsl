// Stores nothing: products take floats.
fn store_int8_by_1_lane(
  i: u32, x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>, x4: vec4<f32>, x5: vec4<f32>,
  x6: vec4<f32>, x7: vec4<f32>) {}
