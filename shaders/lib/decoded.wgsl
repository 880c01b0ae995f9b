// The decoded weights to write, four at a time, as the result stores them.

#ifdef RESULT_F32
@group(0) @binding(2) var<storage, read_write> result: array<vec4<u32>>;
fn store(i: u32, bits: vec4<u32>) { result[i] = bits; }
#endif
#ifdef RESULT_F16
@group(0) @binding(2) var<storage, read_write> result: array<vec2<u32>>;
fn store(i: u32, bits: vec4<u32>) {
  result[i] = vec2<u32>(
    f32_bits_to_f16(bits.x) | (f32_bits_to_f16(bits.y) << 16u),
    f32_bits_to_f16(bits.z) | (f32_bits_to_f16(bits.w) << 16u));
}
#endif
#ifdef RESULT_BF16
@group(0) @binding(2) var<storage, read_write> result: array<vec2<u32>>;
fn store(i: u32, bits: vec4<u32>) {
  result[i] = vec2<u32>(
    f32_bits_to_bf16(bits.x) | (f32_bits_to_bf16(bits.y) << 16u),
    f32_bits_to_bf16(bits.z) | (f32_bits_to_bf16(bits.w) << 16u));
}
#endif
