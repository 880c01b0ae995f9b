// Codes of three levels.

// 1 + w·multiplier, rounded half away from zero, for |w·multiplier| of at most 1: codes 0, 1 and 2.
fn ternary(w: vec4<f32>, multiplier: f32) -> vec4<u32> {
  let t = w * multiplier;
  let above_minus = select(vec4<u32>(0u), vec4<u32>(1u), t > vec4<f32>(-0.5));
  let plus = select(vec4<u32>(0u), vec4<u32>(1u), t >= vec4<f32>(0.5));
  return above_minus + plus;
}
