//! The scale searches that the K-quants and IQ4 share, each for [`LANES`] sub-blocks at once.
//!
//! Each function is ggml's search for the same purpose, without an importance matrix. Read the innermost loop
//! over lanes as the scalar algorithm for one sub-block. The final codes are a function of the best
//! multiplier, so they are recomputed at the end instead of stored during the search.

#![expect(
    clippy::needless_bitwise_bool,
    reason = "`&&` is a branch, and a loop with a branch is not vectorized"
)]

mod affine;
mod levels;
mod signed;

pub(super) use affine::{AffineSearch, scale_and_min, stored_codes};
pub(super) use levels::{level_codes, level_scale};
pub(super) use signed::{descended_scale, signed_largest, signed_scale};

use super::bits::round_half_even;
use super::lanes::LANES;

/// Below this largest magnitude a sub-block counts as zero (ggml's `GROUP_MAX_EPS`).
pub(super) const ZERO_BELOW: f32 = 1e-15;

/// One number for each sub-block.
pub(super) type PerLane = [f32; LANES];

/// The nearest integer, half to even, kept within `low..=high`.
#[inline(always)]
fn round_clamp(x: f32, low: i32, high: i32) -> f32 {
    round_half_even(x).max(low).min(high) as f32
}

/// For each sub-block, the first weight of largest magnitude, with its sign.
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
