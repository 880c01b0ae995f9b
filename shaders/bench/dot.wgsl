// A step of chains.wgsl: four dot products of four packed bytes, each added to a summand.

alias Value = vec4<u32>;

// A function, because naga's MSL declares a variable twice where one scope has two calls with the same
// operand.
fn dot4(a: u32, b: u32) -> u32 { return bitcast<u32>(dot4I8Packed(a, b)); }

fn step(v: Value, m: Value, c: Value) -> Value {
  return c + vec4<u32>(dot4(v.x, m.x), dot4(v.y, m.y), dot4(v.z, m.z), dot4(v.w, m.w));
}
