// Codes of three levels.

// Codes 0, 1 or 2: -1, 0 or 1 more than 1, half away from zero, for weights of at most 1/multiplier.
fn ternary(w: vec4<f32>, multiplier: f32) -> vec4<u32> {
  let t = w * multiplier;
  let above_minus = select(vec4<u32>(0u), vec4<u32>(1u), t > vec4<f32>(-0.5));
  let plus = select(vec4<u32>(0u), vec4<u32>(1u), t >= vec4<f32>(0.5));
  return above_minus + plus;
}
