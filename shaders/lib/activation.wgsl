// The activation of a feed-forward network: SiLU, or with GELU = 1, GELU by tanh.

fn silu(x: f32) -> f32 { return x / (1.0 + exp(min(-x, 80.0))); }

// From 10 on, tanh is 1 in f32. Without the clamp, an implementation may overflow.
fn gelu(x: f32) -> f32 {
  return 0.5 * x * (1.0 + tanh(clamp(0.7978846 * x * (1.0 + 0.044715 * x * x), -10.0, 10.0)));
}

fn activated(x: f32) -> f32 {
#if GELU == 1
  return gelu(x);
#else
  return silu(x);
#endif
}

fn activated_quad(x: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(activated(x.x), activated(x.y), activated(x.z), activated(x.w));
}
