//! Exact conversions between number formats, and the two roundings of ggml.

/// f16 bits to f32; exact, subnormals included.
#[inline(always)]
pub(crate) fn f16_to_f32(half: u16) -> f32 {
    let sign = (half as u32 & 0x8000) << 16;
    let rest = (half as u32 & 0x7fff) << 13;
    // The exponent of normal numbers and infinities moves from bias 15 to bias 127. The value of a subnormal
    // is its integer times 2^-24, and the conversion of a small integer is exact.
    let normal = f32::from_bits(rest + ((127 - 15) << 23));
    let infinite = f32::from_bits(rest | 0x7f80_0000);
    let subnormal = (half & 0x7fff) as f32 * f32::from_bits(0x3380_0000);
    let magnitude = if rest >= 0x0f80_0000 {
        infinite
    } else if rest >= 0x0080_0000 {
        normal
    } else {
        subnormal
    };
    f32::from_bits(sign | magnitude.to_bits())
}

/// f32 to f16 bits, to nearest, ties to even; overflow gives infinity, NaN gives `sign | 0x7e00`.
#[inline(always)]
pub(crate) fn f32_to_f16(x: f32) -> u16 {
    let sign = (x.to_bits() >> 16) & 0x8000;
    let magnitude = x.to_bits() & 0x7fff_ffff;
    // Normal results: change the exponent bias and round off the low 13 bits. A carry goes to the exponent,
    // and from the largest exponent to infinity. Below 2^-14 the result counts units of 2^-24: adding 0.5,
    // whose last place is 2^-24, leaves that count in the low bits.
    let rebiased = magnitude.wrapping_sub((127 - 15) << 23);
    let normal = rebiased.wrapping_add(0x0fff + ((magnitude >> 13) & 1)) >> 13;
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let rounded = if magnitude > 0x7f80_0000 {
        0x7e00
    } else if magnitude >= 0x4780_0000 {
        0x7c00
    } else if magnitude >= 0x3880_0000 {
        normal
    } else {
        subnormal
    };
    (sign | rounded) as u16
}

/// bf16 bits to f32; exact.
#[inline(always)]
pub(crate) fn bf16_to_f32(half: u16) -> f32 {
    f32::from_bits((half as u32) << 16)
}

/// f32 to bf16 bits, to nearest, ties to even; NaN becomes a quiet NaN.
#[inline(always)]
pub(crate) fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let quiet = (bits >> 16) | 64;
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { quiet } else { rounded }) as u16
}

/// The f16 at `offset` in a block, as f32.
#[inline(always)]
pub(super) fn f16_at(block: &[u8], offset: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([block[offset], block[offset + 1]]))
}

/// Whether the f16 at `offset` in a block is neither infinite nor NaN.
#[inline(always)]
pub(super) fn f16_is_finite_at(block: &[u8], offset: usize) -> bool {
    block[offset + 1] & 0x7c != 0x7c
}

/// Stores `x` as f16 at `offset` in a block and returns the stored value.
#[inline(always)]
pub(super) fn put_f16(block: &mut [u8], offset: usize, x: f32) -> f32 {
    let half = f32_to_f16(x);
    block[offset..offset + 2].copy_from_slice(&half.to_le_bytes());
    f16_to_f32(half)
}

/// 1.5 * 2^23. Adding it to a float below 2^22 leaves the float, rounded half to even, in the low bits.
/// Unlike Rust's saturating casts, this compiles to one vector instruction.
const ROUNDER: f32 = 12_582_912.0;

/// ggml's `nearest_int`: half to even. Outside ±4194303 it returns the same wrong number as ggml does.
#[inline(always)]
pub(super) fn round_half_even(x: f32) -> i32 {
    ((x + ROUNDER).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000
}

/// C's `roundf`, for |x| < 2^22: half away from zero.
#[inline(always)]
pub(super) fn round_half_away(x: f32) -> i32 {
    // The two roundings differ only if `x - even` is exactly a half away from zero. That difference is exact.
    let even = (x + ROUNDER) - ROUNDER;
    let half = 0.5f32.copysign(x);
    round_half_even(if x - even == half { even + 2.0 * half } else { even })
}

/// C's conversion to an integer, for 0 <= x < 2^22: rounds down.
#[inline(always)]
pub(super) fn truncate(x: f32) -> i32 {
    let even = (x + ROUNDER) - ROUNDER;
    round_half_even(if even > x { even - 1.0 } else { even })
}

/// 1/x, or 0 for 0: ggml's multiplier for a scale.
#[inline(always)]
pub(super) fn inverse_or_zero(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

/// The linear function `w·multiplier + zero` that gives the code of a weight in a uniform format with scale
/// `d`.
///
/// The multiplier is 1/d, or 0 for d = 0. If 1/d overflows, ggml converts infinity and NaN to an integer,
/// which on x86 leaves 0 in the low bits for any weight; then the function is 0.
#[inline(always)]
pub(super) fn code_line(d: f32, zero: f32) -> (f32, f32) {
    let multiplier = inverse_or_zero(d);
    if multiplier.is_finite() { (multiplier, zero) } else { (0.0, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_returns_to_itself() {
        for half in 0..=u16::MAX {
            let x = f16_to_f32(half);
            if x.is_nan() {
                assert_eq!(f32_to_f16(x), half & 0x8000 | 0x7e00);
            } else {
                assert_eq!(f32_to_f16(x), half, "{x:e}");
            }
            let x = bf16_to_f32(half);
            if !x.is_nan() {
                assert_eq!(f32_to_bf16(x), half, "{x:e}");
            }
        }
    }

    #[test]
    fn f16_rounds_to_nearest_and_ties_to_even() {
        // Between every two consecutive numbers: the midpoint rounds to the even one, the next float to the
        // nearer one.
        for half in 0..0x7bffu16 {
            let (low, high) = (f16_to_f32(half), f16_to_f32(half + 1));
            let middle = f32::midpoint(low, high);
            let even = half + (half & 1);
            for sign in [1.0, -1.0] {
                let signed = |h: u16| if sign < 0.0 { h | 0x8000 } else { h };
                assert_eq!(f32_to_f16(sign * middle), signed(even));
                assert_eq!(f32_to_f16(sign * middle.next_down()), signed(half));
                assert_eq!(f32_to_f16(sign * middle.next_up()), signed(half + 1));
            }
        }
        assert_eq!(f32_to_f16(65519.996), 0x7bff);
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
        assert_eq!(f32_to_f16(f32::MAX), 0x7c00);
        assert_eq!(f32_to_f16(-1e-30), 0x8000);
    }

    #[test]
    fn bf16_rounds_ties_to_even() {
        assert_eq!(f32_to_bf16(f32::from_bits(0x3f80_8000)), 0x3f80);
        assert_eq!(f32_to_bf16(f32::from_bits(0x3f81_8000)), 0x3f82);
        assert_eq!(f32_to_bf16(f32::from_bits(0x3f80_8001)), 0x3f81);
        assert!(bf16_to_f32(f32_to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
    }

    #[test]
    fn the_two_roundings_differ_at_ties_only() {
        for step in -4000..=4000 {
            let x = step as f32 / 8.0;
            assert_eq!(round_half_even(x), x.round_ties_even() as i32, "{x}");
            assert_eq!(round_half_away(x), x.round() as i32, "{x}");
            assert_eq!(truncate(x.abs()), x.abs() as i32, "{x}");
        }
        for whole in 1..300 {
            let below = (whole as f32).next_down();
            assert_eq!((truncate(below), truncate(whole as f32)), (whole - 1, whole));
            let below = (whole as f32 - 0.5).next_down();
            assert_eq!((round_half_away(below), round_half_away(-below)), (whole - 1, 1 - whole));
        }
        assert_eq!(round_half_away(0.5f32.next_down()), 0);
        assert_eq!(round_half_away(-(0.5f32.next_down())), 0);
        assert_eq!((round_half_even(2.5), round_half_away(2.5)), (2, 3));
    }
}
