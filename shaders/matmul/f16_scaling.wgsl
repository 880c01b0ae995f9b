// Powers of two by which rows and vectors are divided before they become f16, and where those of vectors lie.

// The index of a vector's size in vec4s: sizes follow the numbers of all vectors.
fn scale_at(vector: u32) -> u32 { return params.batch * (params.cols / 8u) + vector; }

// `down` is the power of two that takes a number with the bits `size` to 2^14 or more, below 2^15; `up` is
// its inverse. Exponents for which f32 has no such power count as the nearest one that has.
fn exponent(size: u32) -> u32 { return clamp(size >> 23u, 20u, 254u); }
fn down(size: u32) -> f32 { return bitcast<f32>((268u - exponent(size)) << 23u); }
fn up(size: u32) -> f32 { return bitcast<f32>((exponent(size) - 14u) << 23u); }
