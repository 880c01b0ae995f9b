// TQ1_0: 256 digits of base 3, five in a byte, d f16; w = d·(q-1).
//
// Words 0 to 7 have the digits of quads 8n + i, n = 0..5, words 8 to 11 those of quads 40 + 4n + i, word 12 those of quads 60 + n, n = 0..4, and a
// digit 0. The digits of a byte are those of a fraction, rounded up to 1/256.

#ifdef QUANTIZE
#import lib/extremes.wgsl
#import lib/ternary.wgsl

// Four digits of each of four bytes, from quads that are `step` apart.
fn four_digits(i: u32, step: u32, multiplier: f32) -> vec4<u32> {
  var digits = ternary(weights(i), multiplier);
  for (var n = 1u; n < 4u; n++) {
    digits = 3u * digits + ternary(weights(i + n * step), multiplier);
  }
  return digits;
}

fn five_digits(i: u32, step: u32, multiplier: f32) -> vec4<u32> {
  return 3u * four_digits(i, step, multiplier) + ternary(weights(i + 4u * step), multiplier);
}

// Four bytes of five digits each.
fn fractions(digits: vec4<u32>) -> u32 { return bytes((256u * digits + 242u) / 243u); }

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let d = largest_magnitude(x, BLOCK_QUADS);
  if (!in_range(d)) {
    decline(block);
  }
  let multiplier = inverse_or_zero(bitcast<f32>(d));
  let at = block * BLOCK_WORDS;
  for (var i = 0u; i < 8u; i++) {
    blocks[at + i] = fractions(five_digits(x + i, 8u, multiplier));
  }
  for (var i = 0u; i < 4u; i++) {
    blocks[at + 8u + i] = fractions(five_digits(x + 40u + i, 4u, multiplier));
  }
  blocks[at + 12u] = fractions(3u * four_digits(x + 60u, 1u, multiplier));
  blocks[at + 13u] = f32_bits_to_f16(d);
}
#endif

#ifdef DEQUANTIZE
// The word that has a quad, and which of its digits.
fn place(quad: u32) -> vec2<u32> {
  let in_five = select(vec2<u32>(8u + (quad - 40u) % 4u, (quad - 40u) / 4u), vec2<u32>(quad % 8u, quad / 8u), quad < 40u);
  return select(in_five, vec2<u32>(12u, quad - 60u), quad >= 60u);
}

fn decode(block: u32, quad: u32) -> vec4<u32> {
  let at = place(quad);
  // Times 3^n, the digits before the n-th are carried out of the byte, and the next times 3 carries out the n-th.
  let power = select((0x1b090301u >> (8u * at.y)) & 0xffu, 81u, at.y == 4u);
  let rest = (unpack4xU8(word(block, at.x)) * power) & vec4<u32>(0xffu);
  let q = bitcast<vec4<i32>>((rest * 3u) >> vec4<u32>(8u));
  return scaled(scale_bits(block, 52u), q - 1);
}
#endif
