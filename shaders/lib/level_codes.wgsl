// Codes of the IQ4 formats.

#import lib/levels.wgsl

// The codes of quad x in the low nibbles of four bytes, and those of quad x + 4 in the high ones.
fn level_codes(x: u32, multiplier: f32) -> u32 {
  return bytes(nearest_level(weights(x) * multiplier))
    | (bytes(nearest_level(weights(x + 4u) * multiplier)) << 4u);
}
