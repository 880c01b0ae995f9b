//! How far weights are from what a format makes of them, as two sums of squares.

use super::Float;
use super::round_trip::{STEP_WEIGHTS, check_blocks};
use crate::format::Quantize;
use crate::{Error, Format, Result};
use multiversion::multiversion;
use std::ops::AddAssign;

/// Weights whose squares are added in f32. Whole blocks of every format.
pub(crate) const GROUP_WEIGHTS: usize = 256;

/// Sums of a group: weight i is added to sum i mod 16.
const LANES: usize = 16;

/// The bits of 2^-63, whose square is the least normal f32. A lesser magnitude counts as 0.
const LEAST: u32 = 0x2000_0000;

/// The sums of squares from which the relative error of a format follows.
///
/// They are the same bits on every device, because their order is part of the definition:
///
/// 1. A weight w and its decoded weight ŵ count as 0 if their magnitude is below 2^-63. So does the error
///    e = w - ŵ, one f32 subtraction. Therefore nothing is subnormal, not even a square.
/// 2. Each group of 256 consecutive weights has 16 f32 sums of e² and 16 of w². Weight i of the group adds
///    to sum i mod 16, in ascending order. The last group may be shorter. Sums are then added in halves:
///    sum l takes sum l + 8, then l + 4, l + 2 and l + 1.
/// 3. The sums of all groups are added in f64, in ascending order.
///
/// Beside what counts as 0, the relative error of both sums is below 2^-19.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
#[non_exhaustive]
pub struct ErrorSums {
    /// The number of weights.
    pub weights: u64,
    /// Σe²; infinite or NaN where the format cannot hold the weights, because a scale overflowed.
    pub error_squared: f64,
    /// Σw²; infinite or NaN if a weight is, and infinite if weights are beyond 2^59.
    pub weight_squared: f64,
}

impl ErrorSums {
    /// The relative squared error Σe²/Σw²: 0 if all weights came back as they were (also if all are 0),
    /// infinity where the format cannot hold the weights or makes something of zeros.
    pub fn relative(&self) -> f64 {
        let relative = self.error_squared / self.weight_squared;
        if self.error_squared == 0.0 {
            0.0
        } else if relative.is_nan() {
            f64::INFINITY
        } else {
            relative
        }
    }

    /// Adds the next groups: for each Σe² and Σw², as [`Gpu::prepare_round_trip`] writes them, of `weights`
    /// weights together.
    ///
    /// [`Gpu::prepare_round_trip`]: crate::Gpu::prepare_round_trip
    pub fn add_groups(&mut self, weights: u64, groups: &[[f32; 2]]) {
        self.weights += weights;
        for [error, weight] in groups {
            self.error_squared += f64::from(*error);
            self.weight_squared += f64::from(*weight);
        }
    }
}

impl AddAssign for ErrorSums {
    /// Adds the sums of other weights. The last bits depend on how weights are divided into parts.
    fn add_assign(&mut self, other: Self) {
        self.weights += other.weights;
        self.error_squared += other.error_squared;
        self.weight_squared += other.weight_squared;
    }
}

/// The error of encoding weights as `to`, where `source` has them as whole blocks of any format `from`.
///
/// The error is that of the very bytes which [`cpu::quantize`](crate::cpu::quantize) writes. Costs little
/// more than encoding, in one thread, with scratch for 4,096 weights. Fails with [`Error::Length`] if
/// the source is no whole number of blocks, [`Error::Number`] if the weights are no whole number of blocks
/// of `to`, and [`Error::NotEncoded`] if qmill has no encoder for `to`. Weights that are not finite make
/// [`ErrorSums::weight_squared`] infinite or NaN.
pub fn error_sums(from: Format, source: &[u8], to: Format) -> Result<ErrorSums> {
    let weights = source.len() / from.info().block_bytes * from.info().block_weights;
    super::check_lengths(from, weights, source.len())?;
    check_blocks(to, weights)?;
    let mut sums = ErrorSums::default();
    let quantize = to.quantize_blocks().ok_or(Error::NotEncoded { format: to })?;
    each_group(from, source, (to, quantize), |weights, groups| sums.add_groups(weights, groups));
    Ok(sums)
}

/// [`error_sums`] of weights that are decoded already: f32, f16 or bf16.
pub fn error_sums_of_weights<W: Float>(weights: &[W], to: Format) -> Result<ErrorSums> {
    error_sums(W::FORMAT, bytemuck::cast_slice(weights), to)
}

/// Calls `next` with consecutive groups: how many weights they have together, and Σe² and Σw² of each.
pub(crate) fn each_group(
    from: Format,
    source: &[u8],
    (to, quantize): (Format, Quantize),
    mut next: impl FnMut(u64, &[[f32; 2]]),
) {
    let (mut weights, mut blocks, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
    for source in source.chunks(from.bytes_for(STEP_WEIGHTS as u64) as usize) {
        let count = source.len() / from.info().block_bytes * from.info().block_weights;
        weights.resize(count, 0.0);
        decoded.resize(count, 0.0);
        blocks.resize(to.bytes_for(count as u64) as usize, 0);
        from.dequantize_blocks(source, &mut weights);
        quantize(&weights, &mut blocks);
        to.dequantize_blocks(&blocks, &mut decoded);
        let mut groups = [[0.0; 2]; STEP_WEIGHTS / GROUP_WEIGHTS];
        let groups = &mut groups[..count.div_ceil(GROUP_WEIGHTS)];
        group_sums(&weights, &decoded, groups);
        next(count as u64, groups);
    }
}

/// Σe² and Σw² of each group.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn group_sums(weights: &[f32], decoded: &[f32], groups: &mut [[f32; 2]]) {
    let weights = weights.chunks(GROUP_WEIGHTS).zip(decoded.chunks(GROUP_WEIGHTS));
    for ((weights, decoded), sums) in weights.zip(groups) {
        let (mut errors, mut squares) = ([0.0; LANES], [0.0; LANES]);
        let (whole_weights, last_weights) = weights.as_chunks();
        let (whole_decoded, last_decoded) = decoded.as_chunks();
        for (weights, decoded) in whole_weights.iter().zip(whole_decoded) {
            add_squares(weights, decoded, &mut errors, &mut squares);
        }
        if !last_weights.is_empty() {
            // Zeros add nothing.
            let (mut weights, mut decoded) = ([0.0; LANES], [0.0; LANES]);
            weights[..last_weights.len()].copy_from_slice(last_weights);
            decoded[..last_decoded.len()].copy_from_slice(last_decoded);
            add_squares(&weights, &decoded, &mut errors, &mut squares);
        }
        *sums = [total(errors), total(squares)];
    }
}

#[inline(always)]
fn add_squares(
    weights: &[f32; LANES],
    decoded: &[f32; LANES],
    errors: &mut [f32; LANES],
    squares: &mut [f32; LANES],
) {
    for l in 0..LANES {
        let w = without_least(weights[l]);
        let e = without_least(w - without_least(decoded[l]));
        errors[l] += e * e;
        squares[l] += w * w;
    }
}

/// `x`, or 0 if it is too small to be squared.
#[inline(always)]
fn without_least(x: f32) -> f32 {
    if x.to_bits() & 0x7fff_ffff < LEAST { 0.0 } else { x }
}

#[inline(always)]
fn total(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            sums[l] += sums[l + half];
        }
        half /= 2;
    }
    sums[0]
}
