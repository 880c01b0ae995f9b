//! The scale searches that the K-quants and IQ4 share, each for [`LANES`] sub-blocks at once.
//!
//! Each function is ggml's search of the same purpose, with no importance matrix: read the innermost loop over
//! lanes as the scalar algorithm for one sub-block. The codes a search ends with are a function of the
//! multiplier that won, so they are recomputed at the end and not carried along.

#![expect(
    clippy::needless_bitwise_bool,
    reason = "`&&` is a branch, and a loop with a branch is not vectorized"
)]

use super::bits::round_half_even;
use super::codebook::IQ4_LEVELS;
use super::lanes::{self, LANES};

/// Below this largest magnitude a sub-block counts as zero (ggml's `GROUP_MAX_EPS`).
pub(super) const ZERO_BELOW: f32 = 1e-15;

/// One number for each sub-block.
pub(super) type PerLane = [f32; LANES];

/// The nearest integer, half to even, kept within `low..=high`.
#[inline(always)]
fn round_clamp(x: f32, low: i32, high: i32) -> f32 {
    round_half_even(x).max(low).min(high) as f32
}

/// How [`scale_and_min`] searches.
pub(super) struct AffineSearch {
    /// The largest code.
    pub(super) max_code: i32,
    /// First offset that is added to `max_code`.
    pub(super) first: f32,
    /// Distance between offsets.
    pub(super) step: f32,
    /// Number of offsets, less one.
    pub(super) steps: u32,
    /// Whether the error is Σ w·|e| and not Σ w·e².
    pub(super) absolute_error: bool,
}

/// What [`scale_and_min`] found: `x ≈ scale·code - min`.
pub(super) struct AffineFit<const N: usize> {
    pub(super) scale: PerLane,
    pub(super) min: PerLane,
    pub(super) codes: [PerLane; N],
}

/// ggml's `make_qkx2_quants`: fits `x ≈ scale·code - min` with codes `0..=max_code` and `min ≥ 0`.
///
/// Starts from the range of the sub-block; then, for a series of slightly different ranges, rounds to codes,
/// solves the weighted least squares problem for scale and min with those codes, and keeps the best.
#[inline(always)]
pub(super) fn scale_and_min<const N: usize>(
    x: &[PerLane; N],
    w: &[PerLane; N],
    search: &AffineSearch,
) -> AffineFit<N> {
    let (mut min, mut max, mut sum_w, mut sum_x) = (x[0], x[0], w[0], [0.0; LANES]);
    for lane in 0..LANES {
        sum_x[lane] = w[0][lane] * x[0][lane];
    }
    for i in 1..N {
        for lane in 0..LANES {
            let (x, w) = (x[i][lane], w[i][lane]);
            min[lane] = if x < min[lane] { x } else { min[lane] };
            max[lane] = if x > max[lane] { x } else { max[lane] };
            sum_w[lane] += w;
            sum_x[lane] += w * x;
        }
    }

    let top = search.max_code as f32;
    let (mut scale, mut inverse, mut flat) = ([0.0; LANES], [0.0; LANES], [false; LANES]);
    for lane in 0..LANES {
        min[lane] = if min[lane] > 0.0 { 0.0 } else { min[lane] };
        flat[lane] = max[lane] == min[lane];
        inverse[lane] = top / (max[lane] - min[lane]);
        scale[lane] = 1.0 / inverse[lane];
    }
    // The multiplier and the min that the best codes so far were rounded with.
    let (mut best_inverse, mut best_origin) = (inverse, min);
    let mut codes = [[0.0; LANES]; N];
    for i in 0..N {
        for lane in 0..LANES {
            codes[i][lane] = round_clamp(inverse[lane] * (x[i][lane] - min[lane]), 0, search.max_code);
        }
    }
    let mut best_error = affine_error(x, w, &codes, &scale, &min, search.absolute_error);

    for step in 0..=search.steps {
        let range = search.first + search.step * step as f32 + top;
        for lane in 0..LANES {
            inverse[lane] = range / (max[lane] - min[lane]);
        }
        let (mut sum_l, mut sum_l2, mut sum_xl) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for i in 0..N {
            for lane in 0..LANES {
                let (x, w) = (x[i][lane], w[i][lane]);
                let code = round_clamp(inverse[lane] * (x - min[lane]), 0, search.max_code);
                codes[i][lane] = code;
                sum_l[lane] += w * code;
                sum_l2[lane] += w * code * code;
                sum_xl[lane] += w * code * x;
            }
        }
        let (mut new_scale, mut new_min, mut determinant) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            let (sum_w, sum_x) = (sum_w[lane], sum_x[lane]);
            let (sum_l, sum_l2, sum_xl) = (sum_l[lane], sum_l2[lane], sum_xl[lane]);
            determinant[lane] = sum_w * sum_l2 - sum_l * sum_l;
            let free_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant[lane];
            let free_min = (sum_l2 * sum_x - sum_l * sum_xl) / determinant[lane];
            let above = free_min > 0.0;
            new_scale[lane] = if above { sum_xl / sum_l2 } else { free_scale };
            new_min[lane] = if above { 0.0 } else { free_min };
        }
        let new_error = affine_error(x, w, &codes, &new_scale, &new_min, search.absolute_error);
        for lane in 0..LANES {
            let better = (determinant[lane] > 0.0) & (new_error[lane] < best_error[lane]);
            best_error[lane] = if better { new_error[lane] } else { best_error[lane] };
            best_inverse[lane] = if better { inverse[lane] } else { best_inverse[lane] };
            best_origin[lane] = if better { min[lane] } else { best_origin[lane] };
            scale[lane] = if better { new_scale[lane] } else { scale[lane] };
            min[lane] = if better { new_min[lane] } else { min[lane] };
        }
    }

    for i in 0..N {
        for lane in 0..LANES {
            let code = best_inverse[lane] * (x[i][lane] - best_origin[lane]);
            let code = round_clamp(code, 0, search.max_code);
            codes[i][lane] = if flat[lane] { 0.0 } else { code };
        }
    }
    for lane in 0..LANES {
        scale[lane] = if flat[lane] { 0.0 } else { scale[lane] };
        min[lane] = -min[lane];
    }
    AffineFit { scale, min, codes }
}

/// Σ w·e² or Σ w·|e| with e = scale·code + min - x.
#[inline(always)]
fn affine_error<const N: usize>(
    x: &[PerLane; N],
    w: &[PerLane; N],
    codes: &[PerLane; N],
    scale: &PerLane,
    min: &PerLane,
    absolute: bool,
) -> PerLane {
    let mut sum = [0.0; LANES];
    for i in 0..N {
        for lane in 0..LANES {
            let difference = scale[lane] * codes[i][lane] + min[lane] - x[i][lane];
            let size = if absolute { difference.abs() } else { difference * difference };
            sum[lane] += w[i][lane] * size;
        }
    }
    sum
}

/// What a search for a scale alone found: `x ≈ scale·(code - levels)`.
pub(super) struct ScaleFit<const N: usize> {
    pub(super) scale: PerLane,
    pub(super) codes: [PerLane; N],
}

/// Of each sub-block the signed value of the first weight of largest magnitude.
#[inline(always)]
fn extreme<const N: usize>(x: &[PerLane; N]) -> PerLane {
    let mut max = [0.0f32; LANES];
    for x in x {
        for lane in 0..LANES {
            max[lane] = if x[lane].abs() > max[lane].abs() { x[lane] } else { max[lane] };
        }
    }
    max
}

/// The first scale of largest magnitude of a super-block, with its sign; 0 if all are 0.
#[inline(always)]
pub(super) fn signed_largest(scales: &[f32]) -> f32 {
    scales.iter().fold(0.0, |max: f32, &x| if x.abs() > max.abs() { x } else { max })
}

/// ggml's `make_qx_quants` with `rmse_type` 1: fits `x ≈ scale·code` with codes `-levels..levels`, weights x².
///
/// Tries 19 multipliers around `-levels / max` and keeps the one whose least squares scale explains most. The
/// codes are returned as `0..2·levels`; a sub-block of zeros gets scale 0 and codes 0.
#[inline(always)]
pub(super) fn signed_scale<const N: usize>(x: &[PerLane; N], levels: i32) -> ScaleFit<N> {
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
pub(super) fn descended_scale<const N: usize>(x: &[PerLane; N], levels: i32) -> ScaleFit<N> {
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

/// Rounds to the codes of `x ≈ scale·code - min` for the scales and mins as stored, which are not quite those of the
/// search, and adds `offset`. A sub-block whose scale became 0 keeps the `searched` codes.
#[inline(always)]
pub(super) fn stored_codes<const N: usize>(
    x: &[PerLane; N],
    (scale, min): (&PerLane, &PerLane),
    (low, high, offset): (i32, i32, f32),
    searched: &[PerLane; N],
) -> [[u8; N]; LANES] {
    let mut codes = [[0.0; LANES]; N];
    for i in 0..N {
        for lane in 0..LANES {
            let code = round_clamp((x[i][lane] + min[lane]) / scale[lane], low, high) + offset;
            codes[i][lane] = if scale[lane] == 0.0 { searched[i][lane] } else { code };
        }
    }
    lanes::codes(&codes)
}

/// The levels of IQ4, and the points half-way between neighbours: a value belongs to the level whose half-way
/// points enclose it, one on a half-way point to the upper level.
///
/// ggml compares the two distances after rounding; near a half-way point both are exact, because the value's
/// last place is not finer than a 2^24th of either.
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
pub(super) fn level_codes<const N: usize>(x: &[PerLane; N], inverse: &PerLane) -> [PerLane; N] {
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
pub(super) fn level_scale<const N: usize>(x: &[PerLane; N]) -> PerLane {
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
