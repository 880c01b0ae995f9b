//! `x ≈ scale·code` with codes around 0: the searches of `Q3_K` and `Q6_K`.

use super::{PerLane, ZERO_BELOW, extreme, round_clamp};
use crate::format::lanes::LANES;

/// The result of a search for a scale: `x ≈ scale·(code - levels)`.
pub(in crate::format) struct ScaleFit<const N: usize> {
    pub(in crate::format) scale: PerLane,
    pub(in crate::format) codes: [PerLane; N],
}

/// The first scale of largest magnitude of a super-block, with its sign; 0 if all are 0.
#[inline(always)]
pub(in crate::format) fn signed_largest(scales: &[f32]) -> f32 {
    scales.iter().fold(0.0, |max: f32, &x| if x.abs() > max.abs() { x } else { max })
}

/// ggml's `make_qx_quants` with `rmse_type` 1: fits `x ≈ scale·code` with codes `-levels..levels`, weights
/// x².
///
/// Tries 19 multipliers around `-levels / max` and keeps the one whose least squares scale explains most. The
/// codes are returned as `0..2·levels`; a sub-block of zeros gets scale 0 and codes 0.
#[inline(always)]
pub(in crate::format) fn signed_scale<const N: usize>(x: &[PerLane; N], levels: i32) -> ScaleFit<N> {
    let max = extreme(x);
    let mut inverse = [0.0; LANES];
    for lane in 0..LANES {
        inverse[lane] = -levels as f32 / max[lane];
    }
    let mut best_inverse = inverse;
    let (sum_lx, sum_l2) = signed_sums(x, &inverse, levels);
    let (mut scale, mut best) = ([0.0; LANES], [0.0; LANES]);
    for lane in 0..LANES {
        scale[lane] = if sum_l2[lane] == 0.0 { 0.0 } else { sum_lx[lane] / sum_l2[lane] };
        best[lane] = scale[lane] * sum_lx[lane];
    }
    for step in -9..=9 {
        if step == 0 {
            continue;
        }
        let range = -(levels as f32 + 0.1 * step as f32);
        for lane in 0..LANES {
            inverse[lane] = range / max[lane];
        }
        let (sum_lx, sum_l2) = signed_sums(x, &inverse, levels);
        for lane in 0..LANES {
            let (sum_lx, sum_l2) = (sum_lx[lane], sum_l2[lane]);
            let better = (sum_l2 > 0.0) & (sum_lx * sum_lx > best[lane] * sum_l2);
            let new_scale = sum_lx / sum_l2;
            best_inverse[lane] = if better { inverse[lane] } else { best_inverse[lane] };
            scale[lane] = if better { new_scale } else { scale[lane] };
            best[lane] = if better { new_scale * sum_lx } else { best[lane] };
        }
    }

    let mut codes = [[0.0; LANES]; N];
    for i in 0..N {
        for lane in 0..LANES {
            let code = round_clamp(best_inverse[lane] * x[i][lane], -levels, levels - 1);
            codes[i][lane] = if max[lane].abs() < ZERO_BELOW { 0.0 } else { code + levels as f32 };
        }
    }
    for lane in 0..LANES {
        scale[lane] = if max[lane].abs() < ZERO_BELOW { 0.0 } else { scale[lane] };
    }
    ScaleFit { scale, codes }
}

/// Σ x²·code·x and Σ x²·code², with the codes that `inverse` gives.
#[inline(always)]
fn signed_sums<const N: usize>(x: &[PerLane; N], inverse: &PerLane, levels: i32) -> (PerLane, PerLane) {
    let (mut sum_lx, mut sum_l2) = ([0.0; LANES], [0.0; LANES]);
    for x in x {
        for lane in 0..LANES {
            let x = x[lane];
            let code = round_clamp(inverse[lane] * x, -levels, levels - 1);
            let w = x * x;
            sum_lx[lane] += w * x * code;
            sum_l2[lane] += w * code * code;
        }
    }
    (sum_lx, sum_l2)
}

/// ggml's `make_q3_quants`: fits `x ≈ scale·code` with codes `-levels..levels`, weights x².
///
/// Rounds once, then improves one code at a time, for at most five sweeps. The codes are returned as
/// `0..2·levels`; a sub-block of zeros gets scale 0 and codes 0.
#[inline(always)]
pub(in crate::format) fn descended_scale<const N: usize>(x: &[PerLane; N], levels: i32) -> ScaleFit<N> {
    let max = extreme(x);
    let mut codes = [[0.0; LANES]; N];
    let (mut sum_lx, mut sum_l2) = ([0.0; LANES], [0.0; LANES]);
    let mut inverse = [0.0; LANES];
    for lane in 0..LANES {
        inverse[lane] = -levels as f32 / max[lane];
    }
    for i in 0..N {
        for lane in 0..LANES {
            let x = x[i][lane];
            let code = round_clamp(inverse[lane] * x, -levels, levels - 1);
            let w = x * x;
            codes[i][lane] = code;
            sum_lx[lane] += w * x * code;
            sum_l2[lane] += w * code * code;
        }
    }
    for _ in 0..5 {
        // A lane that changes nothing in one sweep changes nothing in the next: none needs to stop early.
        let mut changed = 0;
        for i in 0..N {
            for lane in 0..LANES {
                let (x, code) = (x[i][lane], codes[i][lane]);
                let w = x * x;
                let rest_lx = sum_lx[lane] - w * x * code;
                let rest_l2 = sum_l2[lane] - w * code * code;
                let new_code = round_clamp(x * rest_l2 / rest_lx, -levels, levels - 1);
                let new_lx = rest_lx + w * x * new_code;
                let new_l2 = rest_l2 + w * new_code * new_code;
                let better = (rest_lx > 0.0)
                    & (new_code != code)
                    & (new_l2 > 0.0)
                    & (new_lx * new_lx * sum_l2[lane] > sum_lx[lane] * sum_lx[lane] * new_l2);
                codes[i][lane] = if better { new_code } else { code };
                sum_lx[lane] = if better { new_lx } else { sum_lx[lane] };
                sum_l2[lane] = if better { new_l2 } else { sum_l2[lane] };
                changed += i32::from(better);
            }
        }
        if changed == 0 {
            break;
        }
    }

    let mut scale = [0.0; LANES];
    for lane in 0..LANES {
        let fitted = if sum_l2[lane] > 0.0 { sum_lx[lane] / sum_l2[lane] } else { 0.0 };
        scale[lane] = if max[lane].abs() < ZERO_BELOW { 0.0 } else { fitted };
    }
    for code in &mut codes {
        for lane in 0..LANES {
            code[lane] = if max[lane].abs() < ZERO_BELOW { 0.0 } else { code[lane] + levels as f32 };
        }
    }
    ScaleFit { scale, codes }
}
