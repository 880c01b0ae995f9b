#import lib/levels.wgsl

// The codes of quads x and x + 4, in the low and in the high nibbles.
fn level_codes(x: u32, multiplier: f32) -> u32 {
  return bytes(nearest_level(weights(x) * multiplier)) | (bytes(nearest_level(weights(x + 4u) * multiplier)) << 4u);
}
