// Four floats of a cache in f32.
alias Quad = vec4<f32>;
fn floats(quad: Quad) -> vec4<f32> { return quad; }
