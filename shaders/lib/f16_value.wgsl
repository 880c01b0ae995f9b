// f16 as f32, for kernels that multiply.

#ifdef NATIVE_F16
// The value of an f16. This device keeps subnormals.
fn f16_value(half: u32) -> f32 { return unpack2x16float(half).x; }

// The values of the two f16 of a word.
fn f16_values(word: u32) -> vec2<f32> { return unpack2x16float(word); }
#else
// The value of an f16 that is finite.
fn f16_value(half: u32) -> f32 {
  let size = half & 0x7fffu;
  let normal = bitcast<f32>((size << 13u) + 0x38000000u);
  // A subnormal counts units of 2^-24.
  let value = select(normal, f32(size) * 0x1p-24, size < 0x400u);
  return bitcast<f32>(bitcast<u32>(value) | ((half & 0x8000u) << 16u));
}

// The values of the two f16 of a word.
fn f16_values(word: u32) -> vec2<f32> { return vec2<f32>(f16_value(word & 0xffffu), f16_value(word >> 16u)); }
#endif
