// Four floats of a cache in f16. A device may take its subnormals for 0, which is as near as an f16 of a sum of such size is to anything.
alias Quad = vec2<u32>;
fn floats(quad: Quad) -> vec4<f32> { return vec4<f32>(unpack2x16float(quad.x), unpack2x16float(quad.y)); }
