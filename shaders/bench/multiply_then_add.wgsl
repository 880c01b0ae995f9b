// A step of chains.wgsl: four multiply-adds that need not be fused.

alias Value = vec4<f32>;

fn step(v: Value, m: Value, c: Value) -> Value { return v * m + c; }
