// A step of chains.wgsl: four multiply-adds.

alias Value = vec4<f32>;

fn step(v: Value, m: Value, c: Value) -> Value { return fma(v, m, c); }
