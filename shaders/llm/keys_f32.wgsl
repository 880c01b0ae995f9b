// Four floats of cached keys in f32.
alias KeyQuad = vec4<f32>;
fn key_floats(quad: KeyQuad) -> vec4<f32> { return quad; }
