//! Finds the fastest kernel for a product on a device.

use super::case::Case;
use super::product::{Data, Variant, kernels};
use super::timing::Settings;
use crate::gpu::{self, Precision, Tuning};
use crate::{Gpu, Result};

/// The least gain over the default kernel's time; smaller gains are noise.
const LEAST_GAIN: f64 = 0.03;

/// The kernels for a product, with their times.
#[derive(Clone, Debug)]
pub struct Ranking {
    case: Case,
    precision: Precision,
    best: gpu::Variant,
    timed: Vec<(gpu::Variant, f64)>,
    /// Seconds of the default and of the best kernel, measured again.
    again: [f64; 2],
}

/// Measures every kernel for a product at a precision, the default first, on the same weights, after checking
/// each result.
///
/// The device should have no [`Tuning`], so that the default is the library's. Fails as [`Case::measure`]
/// does, and needs as much memory.
pub fn rank(case: &Case, gpu: &Gpu, precision: Precision, settings: &Settings) -> Result<Ranking> {
    case.check()?;
    let data = Data::new(case, gpu, settings)?;
    let seconds = |kernel| Ok(data.measure(Variant::of(kernel), settings)?.0.best_clock().median());
    let timed = kernels(case, gpu, precision).into_iter().map(|kernel| Ok((kernel, seconds(kernel)?)));
    let timed = timed.collect::<Result<Vec<_>>>()?;
    let default = timed[0].0;
    let (mut best, _) = *timed.iter().min_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap_or(&timed[0]);
    // The minimum of many times is biased. The best kernel must win again.
    let mut again = [timed[0].1; 2];
    if best != default {
        again = [seconds(default)?, seconds(best)?];
        if again[1] > again[0] * (1.0 - LEAST_GAIN) {
            best = default;
            again[1] = again[0];
        }
    }
    Ok(Ranking { case: *case, precision, best, timed, again })
}

impl Ranking {
    /// The name and seconds of each kernel, the default first.
    pub fn kernels(&self) -> impl Iterator<Item = (String, f64)> {
        self.timed.iter().map(|(kernel, seconds)| (kernel.to_string(), *seconds))
    }

    /// The name of the best kernel and its speed relative to the default. The default is best unless another
    /// is clearly faster.
    pub fn best(&self) -> (String, f64) {
        (self.best.to_string(), self.again[0] / self.again[1])
    }

    /// Adds the best kernel to a table for all products of this class. If that is the default, removes the
    /// entry.
    pub fn enter(&self, tuning: &mut Tuning) {
        let Case { format, rows, cols, batch, .. } = self.case;
        let best = (self.best != self.timed[0].0).then_some(self.best);
        tuning.set(format, (rows, cols), self.precision, batch, best);
    }
}
