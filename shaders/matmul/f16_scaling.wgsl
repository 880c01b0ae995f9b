// Powers of two by which rows and vectors are divided before they become f16. The scale of a row or of a
// vector, as stored, is the bits of the largest magnitude that it may have.

// The index of a vector's scale in vec4s: scales follow the numbers of all vectors.
fn scale_at(vector: u32) -> u32 { return params.batch * (params.cols / 8u) + vector; }

// `down` is the power of two that takes a number with these bits to 2^14 or more, below 2^15; `up` is its
// inverse. Exponents for which f32 has no such power count as the nearest one that has.
fn exponent(scale: u32) -> u32 { return clamp(scale >> 23u, 20u, 254u); }
fn down(scale: u32) -> f32 { return bitcast<f32>((268u - exponent(scale)) << 23u); }
fn up(scale: u32) -> f32 { return bitcast<f32>((exponent(scale) - 14u) << 23u); }
