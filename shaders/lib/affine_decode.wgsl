// The bits of d·sc·q - dmin·m, with each product and the difference rounded as in ggml, infinity and NaN
// included.

fn affine(d: u32, sc: u32, dmin: u32, m: u32, q: vec4<u32>) -> vec4<u32> {
  let scale = scaled(d, vec4<i32>(i32(sc))).x;
  let min = scaled(dmin, vec4<i32>(i32(m))).x;
  return difference(scaled(scale, vec4<i32>(q)), min);
}
