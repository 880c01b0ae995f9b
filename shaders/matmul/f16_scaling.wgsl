// Powers of two by which rows and vectors are divided to be f16; and where those of vectors are: behind them.

fn scale_at(vector: u32) -> u32 { return params.batch * (params.cols / 8u) + vector; }

// The power of two that takes a number of these bits to 2^14 or more, below 2^15, and its inverse. Exponents that f32 has no inverse for count as the next.
fn exponent(size: u32) -> u32 { return clamp(size >> 23u, 20u, 254u); }
fn down(size: u32) -> f32 { return bitcast<f32>((268u - exponent(size)) << 23u); }
fn up(size: u32) -> f32 { return bitcast<f32>((exponent(size) - 14u) << 23u); }
