// Four floats of a cache in f16. A device may take subnormals for 0: keys and values below 2^-14, which change no score by more than rounding does.
alias Quad = vec2<u32>;
fn floats(quad: Quad) -> vec4<f32> { return vec4<f32>(unpack2x16float(quad.x), unpack2x16float(quad.y)); }
