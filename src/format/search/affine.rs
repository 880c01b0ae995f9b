//! `x ≈ scale·code - min`: the search of `Q2_K`, `Q4_K` and `Q5_K`, and the codes for stored scales.

use super::{PerLane, round_clamp};
use crate::format::lanes::{self, LANES};

/// The parameters of [`scale_and_min`].
pub(in crate::format) struct AffineSearch {
    /// The largest code.
    pub(in crate::format) max_code: i32,
    /// First offset that is added to `max_code`.
    pub(in crate::format) first: f32,
    /// Distance between offsets.
    pub(in crate::format) step: f32,
    /// Number of offsets, less one.
    pub(in crate::format) steps: u32,
    /// Whether the error is Σ w·|e| and not Σ w·e².
    pub(in crate::format) absolute_error: bool,
}

/// The result of [`scale_and_min`]: `x ≈ scale·code - min`.
pub(in crate::format) struct AffineFit<const N: usize> {
    pub(in crate::format) scale: PerLane,
    pub(in crate::format) min: PerLane,
    pub(in crate::format) codes: [PerLane; N],
}

/// ggml's `make_qkx2_quants`: fits `x ≈ scale·code - min` with codes `0..=max_code` and `min ≥ 0`.
///
/// Starts from the range of the sub-block; then, for a series of slightly different ranges, rounds to codes,
/// solves the weighted least squares problem for scale and min with those codes, and keeps the best.
#[inline(always)]
pub(in crate::format) fn scale_and_min<const N: usize>(
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

/// Rounds to the codes of `x ≈ scale·code - min` for the stored scales and mins, which differ a little from
/// those of the search, and adds `offset`. A sub-block whose stored scale is 0 keeps the `searched` codes.
#[inline(always)]
pub(in crate::format) fn stored_codes<const N: usize>(
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
