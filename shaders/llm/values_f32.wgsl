// Four floats of cached values in f32.
alias ValueQuad = vec4<f32>;
fn value_floats(quad: ValueQuad) -> vec4<f32> { return quad; }
