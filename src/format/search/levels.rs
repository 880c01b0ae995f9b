//! `x ≈ scale·level`: the search of `IQ4_NL` and `IQ4_XS`.

use super::{PerLane, ZERO_BELOW, extreme};
use crate::format::codebook::IQ4_LEVELS;
use crate::format::lanes::LANES;

/// The levels of IQ4, and the midpoints between them: a value belongs to the level whose midpoints enclose
/// it, and a value on a midpoint to the upper level.
///
/// ggml compares the two distances after rounding. Near a midpoint both are exact, because the value's last
/// place is not finer than a 2^24th of either.
const LEVELS: ([f32; 16], [f32; 15]) = {
    let (mut levels, mut halfway) = ([0.0; 16], [0.0; 15]);
    let mut i = 0;
    while i < 16 {
        levels[i] = IQ4_LEVELS[i] as f32;
        if i > 0 {
            halfway[i - 1] = f32::midpoint(levels[i - 1], levels[i]);
        }
        i += 1;
    }
    (levels, halfway)
};

/// The IQ4 level nearest to `x` (NaN gives the last, as ggml's `best_index_int8` does).
#[inline(always)]
fn nearest_level(x: f32) -> f32 {
    let (levels, halfway) = LEVELS;
    let mut level = levels[0];
    for k in 0..15 {
        level = if x < halfway[k] { level } else { levels[k + 1] };
    }
    level
}

/// The index of the IQ4 level nearest to `x`.
#[inline(always)]
fn nearest_level_index(x: f32) -> f32 {
    let mut index = 0.0;
    for k in 0..15 {
        index = if x < LEVELS.1[k] { index } else { (k + 1) as f32 };
    }
    index
}

/// The codes of `x ≈ level[code] / inverse`.
#[inline(always)]
pub(in crate::format) fn level_codes<const N: usize>(x: &[PerLane; N], inverse: &PerLane) -> [PerLane; N] {
    let mut codes = [[0.0; LANES]; N];
    for i in 0..N {
        for lane in 0..LANES {
            codes[i][lane] = nearest_level_index(inverse[lane] * x[i][lane]);
        }
    }
    codes
}

/// The search of ggml's `quantize_row_iq4_nl_impl` with `ntry` 7: the scale of `x ≈ scale·level`, weights x².
///
/// Tries 16 multipliers and keeps the one whose least squares scale explains most; 0 for a block of zeros.
#[inline(always)]
pub(in crate::format) fn level_scale<const N: usize>(x: &[PerLane; N]) -> PerLane {
    let max = extreme(x);
    let lowest = IQ4_LEVELS[0] as f32;
    let mut inverse = [0.0; LANES];
    for lane in 0..LANES {
        inverse[lane] = 1.0 / (-max[lane] / lowest);
    }
    let (sum_qx, sum_q2) = level_sums(x, &inverse);
    let (mut scale, mut best) = ([0.0; LANES], [0.0; LANES]);
    for lane in 0..LANES {
        scale[lane] = if sum_q2[lane] > 0.0 { sum_qx[lane] / sum_q2[lane] } else { 0.0 };
        best[lane] = scale[lane] * sum_qx[lane];
    }
    for step in -7..=7 {
        for lane in 0..LANES {
            inverse[lane] = (step as f32 + lowest) / max[lane];
        }
        let (sum_qx, sum_q2) = level_sums(x, &inverse);
        for lane in 0..LANES {
            let (sum_qx, sum_q2) = (sum_qx[lane], sum_q2[lane]);
            let better = (sum_q2 > 0.0) & (sum_qx * sum_qx > best[lane] * sum_q2);
            let new_scale = sum_qx / sum_q2;
            scale[lane] = if better { new_scale } else { scale[lane] };
            best[lane] = if better { new_scale * sum_qx } else { best[lane] };
        }
    }
    for lane in 0..LANES {
        scale[lane] = if max[lane].abs() < ZERO_BELOW { 0.0 } else { scale[lane] };
    }
    scale
}

/// Σ x²·level·x and Σ x²·level², with the levels that `inverse` gives.
#[inline(always)]
fn level_sums<const N: usize>(x: &[PerLane; N], inverse: &PerLane) -> (PerLane, PerLane) {
    let (mut sum_qx, mut sum_q2) = ([0.0; LANES], [0.0; LANES]);
    for x in x {
        for lane in 0..LANES {
            let x = x[lane];
            let q = nearest_level(inverse[lane] * x);
            let w = x * x;
            sum_qx[lane] += w * q * x;
            sum_q2[lane] += w * q * q;
        }
    }
    (sum_qx, sum_q2)
}
