// Four floats of cached keys in f16. A device may flush subnormals, below 2^-14, to 0; that changes no score
// by more than rounding does.
alias KeyQuad = vec2<u32>;
fn key_floats(quad: KeyQuad) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(quad.x), unpack2x16float(quad.y));
}
