// The weights to quantize, four at a time, as the source stores them.

#ifdef SOURCE_F32
@group(0) @binding(1) var<storage, read> source: array<vec4<u32>>;
fn weight_bits(i: u32) -> vec4<u32> { return source[i]; }
#endif
#ifdef SOURCE_F16
@group(0) @binding(1) var<storage, read> source: array<vec2<u32>>;
// Converts all but infinity and NaN, which the host keeps from quantizers.
fn weight_bits(i: u32) -> vec4<u32> {
  let pair = source[i];
  let half = vec4<u32>(pair.x & 0xffffu, pair.x >> 16u, pair.y & 0xffffu, pair.y >> 16u);
  let rest = (half & vec4<u32>(0x7fffu)) << vec4<u32>(13u);
  // A subnormal's bits below a leading one of 2^-14 are 2^-14 more than the subnormal. The difference is
  // exact, and it is normal, or 0 with either sign.
  let above = bitcast<vec4<f32>>(rest + vec4<u32>(0x38800000u));
  let subnormal = bitcast<vec4<u32>>(above - vec4<f32>(6.103515625e-05)) & vec4<u32>(0x7fffffffu);
  let magnitude = select(rest + vec4<u32>(0x38000000u), subnormal, rest < vec4<u32>(0x00800000u));
  return magnitude | ((half & vec4<u32>(0x8000u)) << vec4<u32>(16u));
}
#endif
#ifdef SOURCE_BF16
@group(0) @binding(1) var<storage, read> source: array<vec2<u32>>;
fn weight_bits(i: u32) -> vec4<u32> {
  let pair = source[i];
  let bits = vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u);
  // The addition keeps the compiler from unpacking again at every use, which takes more registers than it
  // saves.
  return bits + vec4<u32>(params.zero);
}
#endif

fn weights(i: u32) -> vec4<f32> { return bitcast<vec4<f32>>(weight_bits(i)); }
