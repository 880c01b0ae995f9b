// Quads of weights and of vectors in f32, and their products, for tiles.

fn add_one(sum: f32, w: vec4<f32>, x: vec4<f32>) -> f32 {
  return fma(w.w, x.w, fma(w.z, x.z, fma(w.y, x.y, fma(w.x, x.x, sum))));
}

#ifdef CODES
#import lib/exact.wgsl

const BLOCK_PARTS = BLOCK_QUADS / 8u;

fn weights(word: u32, scale: f32, min: f32) -> vec4<f32> {
  let q = vec4<f32>(unpack4xI8(word)) - f32(OFFSET);
  if (HAS_MIN) {
    // As in matmul/multiply_exact.wgsl.
    return opaque4(scale * q) - min;
  }
  return scale * q;
}
#endif
