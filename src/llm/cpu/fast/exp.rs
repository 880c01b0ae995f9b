//! The exponential function, in vectors.

/// e^x, within three units in the last place for results that are normal numbers; 0 below them, and no more
/// than e^88 above.
///
/// Cody and Waite's reduction to |r| <= ln 2 / 2, then a polynomial of degree 6 (Cephes' `expf`).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Added to a number below 2^22, leaves it in the low bits, rounded half to even.
    const ROUNDER: f32 = 12_582_912.0;
    const LEAST: f32 = -87.0;
    // A NaN stays one.
    let bounded = if x > 88.0 { 88.0 } else { x };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = bounded - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_6e-1;
    let p = p * r + 5e-1;
    let mantissa = p * (r * r) + r + 1.0;
    let scaled = f32::from_bits(mantissa.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x < LEAST { 0.0 } else { scaled }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_three_units_of_the_library() {
        for i in -870..=880 {
            for fraction in [0.0, 0.013, 0.0771] {
                let x = (i as f32 + fraction) / 10.0;
                let (found, right) = (f64::from(exp(x)), f64::from(x).exp());
                if (-87.0..=88.0).contains(&x) {
                    assert!((found - right).abs() <= 3.0 * f64::from(f32::EPSILON) * right, "{x}: {found}");
                }
            }
        }
        assert_eq!((exp(-1000.0), exp(0.0), exp(f32::NEG_INFINITY)), (0.0, 1.0, 0.0));
        assert!(exp(f32::NAN).is_nan() && exp(1000.0) > 1e38);
    }
}
