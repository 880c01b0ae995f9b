// Four floats of cached values in f16. A device may flush subnormals, below 2^-14, to 0; that changes no
// result by more than rounding does.
alias ValueQuad = vec2<u32>;
fn value_floats(quad: ValueQuad) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(quad.x), unpack2x16float(quad.y));
}
