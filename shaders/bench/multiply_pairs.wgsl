// A step of chains.wgsl: four multiplications of words, each of which multiplies two bytes by two
// (matmul/dot_in_pairs.wgsl), and four additions.

alias Value = vec4<u32>;

fn step(v: Value, m: Value, c: Value) -> Value { return v * m + c; }
