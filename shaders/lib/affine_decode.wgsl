// d·scale·q - dmin·min, the bits of four weights: what ggml's two products and a difference give, infinity and NaN included.

fn affine(d: u32, scale: u32, dmin: u32, min: u32, q: vec4<u32>) -> vec4<u32> {
  let sub_scale = scaled(d, vec4<i32>(i32(scale))).x;
  let sub_min = scaled(dmin, vec4<i32>(i32(min))).x;
  return difference(scaled(sub_scale, vec4<i32>(q)), sub_min);
}
