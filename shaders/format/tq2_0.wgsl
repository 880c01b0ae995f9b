// TQ2_0: 256 codes of two bits, d f16; w = d·(q-1). The four codes of a byte are 32 weights apart.

#ifdef QUANTIZE
#import lib/extremes.wgsl
#import lib/ternary.wgsl

fn quantize(block: u32) {
  let x = block * BLOCK_QUADS;
  let d = largest_magnitude(x, BLOCK_QUADS);
  if (!in_range(d)) {
    decline(block);
  }
  let multiplier = inverse_or_zero(bitcast<f32>(d));
  let at = block * BLOCK_WORDS;
  for (var i = 0u; i < 16u; i++) {
    let quad = x + 32u * (i / 8u) + i % 8u;
    var codes = vec4<u32>(0u);
    for (var n = 0u; n < 4u; n++) {
      codes |= ternary(weights(quad + 8u * n), multiplier) << vec4<u32>(2u * n);
    }
    blocks[at + i] = bytes(codes);
  }
  blocks[at + 16u] = f32_bits_to_f16(d);
}
#endif

#ifdef DEQUANTIZE
fn decode(block: u32, quad: u32) -> vec4<u32> {
  let codes = word(block, 8u * (quad / 32u) + quad % 8u) >> (2u * (quad / 8u % 4u));
  let q = bitcast<vec4<i32>>(unpack4xU8(codes & 0x03030303u));
  return scaled(scale_bits(block, 64u), q - 1);
}
#endif
