//! Finds the fastest kernel for a product on a device.

use super::case::{Case, Operation};
use super::product::{Data, Variant, kernels};
use super::timing::Settings;
use crate::gpu::{self, Precision, Tuning};
use crate::{Gpu, Result};
use std::collections::HashSet;
use std::time::{Duration, Instant};

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
/// each result. `progress` is called after each kernel.
///
/// The device should have no [`Tuning`], so that the default is the library's. Fails as [`Case::measure`]
/// does, and needs as much memory.
pub fn rank(
    case: &Case,
    gpu: &Gpu,
    precision: Precision,
    settings: &Settings,
    progress: &mut dyn FnMut(),
) -> Result<Ranking> {
    case.check()?;
    let data = Data::new(case, gpu, settings)?;
    let seconds = |kernels: &[gpu::Variant]| {
        let variants: Vec<_> = kernels.iter().copied().map(Variant::of).collect();
        let measured = data.measure(&variants, settings)?;
        Ok(measured.iter().map(|(timing, _)| timing.best_clock().median()).collect::<Vec<_>>())
    };
    let timed = kernels(case, gpu, precision).into_iter().map(|kernel| {
        let timed = (kernel, seconds(&[kernel])?[0]);
        progress();
        Ok(timed)
    });
    let timed = timed.collect::<Result<Vec<_>>>()?;
    let default = timed[0].0;
    let (mut best, _) = *timed.iter().min_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap_or(&timed[0]);
    // The minimum of many times is biased. The best kernel must win again.
    let mut again = [timed[0].1; 2];
    if best != default {
        // In turns, so that both meet the same machine.
        let both = seconds(&[default, best])?;
        again = [both[0], both[1]];
        if again[1] > again[0] * (1.0 - LEAST_GAIN) {
            best = default;
            again[1] = again[0];
        }
    }
    Ok(Ranking { case: *case, precision, best, timed, again })
}

/// What [`rank`] does for several products.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Effort {
    /// The kernels that are measured, each as often as there are products that it is measured for.
    pub kernels: usize,
    /// About how long that takes.
    pub time: Duration,
}

/// Estimates what [`rank`] does for these products, from the time that the default kernel of the largest of
/// them takes to compile and to run.
///
/// Slower kernels than the default take longer than this. Fails as [`rank`] does.
pub fn effort(products: &[(Case, Precision)], gpu: &Gpu, settings: &Settings) -> Result<Effort> {
    /// Repetitions that are not counted: to compile, to find the count of runs, and for the best again.
    const MORE: usize = 4;
    let work = |case: &Case| case.weights() as f64 * case.batch as f64;
    let largest = products.iter().max_by(|(a, _), (b, _)| work(a).total_cmp(&work(b)));
    let Some((largest, precision)) = largest else {
        return Ok(Effort { kernels: 0, time: Duration::ZERO });
    };
    largest.check()?;
    let once = settings.with_repetitions(1).with_repetition_time(Duration::ZERO).with_cache_bytes(0);
    let start = Instant::now();
    let data = Data::new(largest, gpu, &once)?;
    let making = start.elapsed().as_secs_f64();
    let default = Variant::of(kernels(largest, gpu, *precision)[0]);
    let start = Instant::now();
    let run = data.measure(&[default], &once)?[0].0.wall.median();
    let compiling = (start.elapsed().as_secs_f64() - 3.0 * run).max(0.0);
    let (mut count, mut compiled, mut seconds) = (0, HashSet::new(), 0.0);
    for (case, precision) in products {
        let kernels = kernels(case, gpu, *precision);
        let each = (run * work(case) / work(largest)).max(settings.repetition_time.as_secs_f64());
        let copies = (case.copies(settings) * case.weights() as usize) as f64;
        seconds += making * copies / largest.weights() as f64;
        seconds += (kernels.len() * (settings.repetitions + MORE)) as f64 * each;
        count += kernels.len();
        // Other shapes and numbers of vectors have the same programs, or nearly all of them.
        let few = case.batch.min(Operation::MAX_VECTORS + 1);
        compiled.extend(kernels.iter().map(|kernel| (case.format, few, kernel.to_string())));
    }
    let time = Duration::try_from_secs_f64(seconds + compiled.len() as f64 * compiling);
    Ok(Effort { kernels: count, time: time.unwrap_or(Duration::MAX) })
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
