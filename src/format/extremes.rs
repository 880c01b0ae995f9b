//! The extremes of a block. They do not depend on the order of comparison, so the search is vectorized. ggml
//! keeps the first of equals; in the rare case that this makes a difference, a second search finds it.

/// The largest |x|, or 0 if `x` is empty. No x is NaN.
#[inline(always)]
pub(super) fn largest_magnitude(x: &[f32]) -> f32 {
    // Without signs, the order of floats is the order of their bits.
    let mut largest = 0;
    for x in x {
        largest = largest.max(x.to_bits() & 0x7fff_ffff);
    }
    f32::from_bits(largest)
}

/// The first x of the largest |x|; 0 if all are 0 or -0. `x` is not empty, and no x is NaN.
#[inline(always)]
pub(super) fn first_of_largest_magnitude(x: &[f32]) -> f32 {
    let (least, greatest) = bounds(x);
    if greatest > -least {
        greatest
    } else if -least > greatest {
        least
    } else {
        // Both occur, or all are 0. In the second case ggml keeps its initial 0, so a -0 must become 0.
        first(x, |x| x.abs() == greatest) + 0.0
    }
}

/// The least and the greatest x. A least of 0 has the sign of the first 0 or -0; a greatest of 0 has any
/// sign. `x` is not empty, and no x is NaN.
#[inline(always)]
pub(super) fn least_and_greatest(x: &[f32]) -> (f32, f32) {
    let (least, greatest) = bounds(x);
    (if least == 0.0 { first(x, |x| x == 0.0) } else { least }, greatest)
}

/// The least and the greatest x, with -0 below 0.
#[inline(always)]
fn bounds(x: &[f32]) -> (f32, f32) {
    let (mut least, mut greatest) = (i32::MAX, i32::MIN);
    for &x in x {
        least = least.min(ordered(x));
        greatest = greatest.max(ordered(x));
    }
    (from_ordered(least), from_ordered(greatest))
}

/// The first x for which `wanted` holds, or 0.
#[inline(always)]
fn first(x: &[f32], wanted: impl Fn(f32) -> bool) -> f32 {
    x.iter().copied().find(|&x| wanted(x)).unwrap_or(0.0)
}

/// An integer with the same order as the float.
#[inline(always)]
fn ordered(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    bits ^ ((bits >> 31) & i32::MAX)
}

/// The inverse of [`ordered`].
#[inline(always)]
fn from_ordered(key: i32) -> f32 {
    f32::from_bits((key ^ ((key >> 31) & i32::MAX)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_is_kept() {
        let x = [1.0, -3.0, 3.0, 2.0, -3.0];
        assert_eq!(first_of_largest_magnitude(&x), -3.0);
        assert_eq!(first_of_largest_magnitude(&x[2..]), 3.0);
        assert_eq!(least_and_greatest(&x), (-3.0, 3.0));
        assert_eq!(least_and_greatest(&[-1e-45, -2.0, 1e-45]), (-2.0, 1e-45));
        assert_eq!(largest_magnitude(&[0.0, -f32::MAX, 1.0]), f32::MAX);
    }

    #[test]
    fn zeros_keep_the_sign_that_ggml_gives_them() {
        assert!(least_and_greatest(&[-0.0, 0.0]).0.is_sign_negative());
        assert!(least_and_greatest(&[0.0, -0.0]).0.is_sign_positive());
        assert!(least_and_greatest(&[1.0, 0.0, -0.0]).0.is_sign_positive());
        assert!(first_of_largest_magnitude(&[-0.0, -0.0]).is_sign_positive());
    }
}
