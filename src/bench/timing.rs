//! Times operations by repeating them.

use crate::gpu::{Lap, Op};
use crate::{Gpu, Result};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How to measure: [`Settings::DEFAULT`], changed by the `with_` methods or field by field.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Timed repetitions.
    pub repetitions: usize,
    /// The shortest time of a repetition: shorter operations run several times.
    pub repetition_time: Duration,
    /// The size of the largest cache. Weights rotate through copies, one more than fit.
    pub cache_bytes: u64,
    /// Whether a GPU's products read quantized weights in the layout of a file instead of the device's
    /// layout.
    pub as_in_file: bool,
    /// Threads, if the CPU computes; `None` for as many as the machine runs at once.
    pub threads: Option<usize>,
}

impl Settings {
    /// Five repetitions of 100 ms, a cache of 96 MiB, the largest of a GPU of 2025, and all threads.
    pub const DEFAULT: Self = Self {
        repetitions: 5,
        repetition_time: Duration::from_millis(100),
        cache_bytes: 96 << 20,
        as_in_file: false,
        threads: None,
    };

    /// Sets [`repetitions`](Self::repetitions).
    #[must_use]
    pub const fn with_repetitions(self, repetitions: usize) -> Self {
        Self { repetitions, ..self }
    }

    /// Sets [`repetition_time`](Self::repetition_time).
    #[must_use]
    pub const fn with_repetition_time(self, repetition_time: Duration) -> Self {
        Self { repetition_time, ..self }
    }

    /// Sets [`cache_bytes`](Self::cache_bytes).
    #[must_use]
    pub const fn with_cache_bytes(self, cache_bytes: u64) -> Self {
        Self { cache_bytes, ..self }
    }

    /// Sets [`as_in_file`](Self::as_in_file).
    #[must_use]
    pub const fn with_as_in_file(self, as_in_file: bool) -> Self {
        Self { as_in_file, ..self }
    }

    /// Sets [`threads`](Self::threads).
    #[must_use]
    pub const fn with_threads(self, threads: Option<usize>) -> Self {
        Self { threads, ..self }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The time of an operation in each repetition.
#[derive(Clone, PartialEq, Debug)]
pub struct Timing {
    /// How many times it ran in each repetition.
    pub count: u64,
    /// Seconds per operation by the host's clock, from the submission until the host saw it done.
    pub wall: Samples,
    /// Seconds per operation by the device's clock; `None` on the CPU and without `TIMESTAMP_QUERY`.
    pub device: Option<Samples>,
}

impl Timing {
    /// The times by the device's clock if it has one, otherwise by the host's.
    pub fn best_clock(&self) -> &Samples {
        self.device.as_ref().unwrap_or(&self.wall)
    }
}

/// Measured numbers, such as seconds, in the order of measurement; at least one.
#[derive(Clone, PartialEq, Debug)]
pub struct Samples(pub(super) Vec<f64>);

impl Samples {
    /// All numbers.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// The median.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        sorted[(n - 1) / 2].midpoint(sorted[n / 2])
    }

    /// The minimum.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The maximum.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The sample standard deviation, as in llama-bench; 0 for a single number.
    pub fn deviation(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.0.iter().map(|x| (x - mean).powi(2)).sum();
        (squares / (self.0.len() - 1).max(1) as f64).sqrt()
    }
}

/// The error of a result against the CPU reference.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Accuracy {
    /// The largest error found, as a fraction of Σ|wᵢxᵢ|; 0 for conversions, which are exact.
    pub error: f64,
    /// The largest error allowed.
    pub bound: f64,
}

/// Times an operation on a device.
///
/// `copies` are the same operation on copies of its data, each of one or more steps, which are used in
/// rotation. They are recorded one after another in one pass, as in an app. Compiling, warming up and finding
/// the count for [`Settings::repetition_time`] are not timed. Fails with
/// [`Error::Number`](crate::Error::Number) if there is no copy or no repetition, and with errors of the
/// device.
pub fn time_ops(gpu: &Gpu, copies: &[Vec<Op>], settings: &Settings) -> Result<Timing> {
    Ok(time_ops_in_turns(gpu, &[copies], settings)?.remove(0))
}

/// Times several operations, each with its copies as for [`time_ops`]; their repetitions take turns.
///
/// There is one rotation through the copies for all operations, so that none finds in the cache what the one
/// before has read.
pub(super) fn time_ops_in_turns(
    gpu: &Gpu,
    operations: &[&[Vec<Op>]],
    settings: &Settings,
) -> Result<Vec<Timing>> {
    for copies in operations {
        crate::cpu::check_positive("the number of copies", copies.len())?;
    }
    let clock = gpu.clock()?;
    let next = Cell::new(0usize);
    let runs = operations.iter().map(|copies| -> Run {
        let (clock, next) = (&clock, &next);
        Box::new(move |count| {
            clock.time(|pass| {
                for _ in 0..count {
                    let copy = next.replace(next.get().wrapping_add(1));
                    copies[copy % copies.len()].iter().for_each(|op| op.record_in(pass));
                }
            })
        })
    });
    time_in_turns(settings, &mut runs.collect::<Vec<_>>())
}

/// Times an operation on the CPU. `work` gets the number of its call, from 0.
///
/// Fails with [`Error::Number`](crate::Error::Number) if there is no repetition, and as `work` does.
pub fn time_work(settings: &Settings, mut work: impl FnMut(usize) -> Result<()>) -> Result<Timing> {
    let mut calls = 0;
    time_laps(settings, |count| {
        let start = Instant::now();
        for _ in 0..count {
            work(calls)?;
            calls += 1;
        }
        Ok(Lap { wall: start.elapsed(), device: None })
    })
}

/// Times `lap`, which runs an operation the given number of times.
pub(super) fn time_laps(settings: &Settings, lap: impl FnMut(u64) -> Result<Lap>) -> Result<Timing> {
    Ok(time_in_turns(settings, &mut [Box::new(lap) as Run])?.remove(0))
}

/// Runs an operation the given number of times.
pub(super) type Run<'a> = Box<dyn FnMut(u64) -> Result<Lap> + 'a>;

/// Times several operations. First finds the count of each, then their repetitions take turns: what slows the
/// machine down for a while slows all of them down.
pub(super) fn time_in_turns(settings: &Settings, runs: &mut [Run]) -> Result<Vec<Timing>> {
    crate::cpu::check_positive("the number of repetitions", settings.repetitions)?;
    let counts = runs.iter_mut().map(|run| count_for(settings, run)).collect::<Result<Vec<_>>>()?;
    let mut laps = vec![Vec::with_capacity(settings.repetitions); runs.len()];
    for _ in 0..settings.repetitions {
        for ((run, &count), laps) in runs.iter_mut().zip(&counts).zip(&mut laps) {
            laps.push(run(count)?);
        }
    }
    Ok(laps.iter().zip(counts).map(|(laps, count)| Timing::of(laps, count)).collect())
}

/// How many runs take about [`Settings::repetition_time`].
fn count_for(settings: &Settings, run: &mut Run) -> Result<u64> {
    /// The most runs of one repetition: a submission must end before the driver's timeout.
    const MOST: u64 = 1 << 14;
    let wanted = settings.repetition_time.as_secs_f64();
    let seconds = |lap: Lap| lap.device.unwrap_or(lap.wall).as_secs_f64();
    // The first run compiles, so its time counts only if it is long.
    let mut count = 1;
    let mut taken = run(count)?;
    if seconds(taken) < 4.0 * wanted.max(0.25) {
        taken = run(count)?;
    }
    while seconds(taken) < wanted / 2.0 && count < MOST {
        let guess = (count as f64 * wanted / seconds(taken).max(1e-9)) as u64;
        count = guess.clamp(count + 1, 10 * count).min(MOST);
        taken = run(count)?;
    }
    Ok(count)
}

impl Timing {
    /// The time of one run in each lap of `count` runs.
    fn of(laps: &[Lap], count: u64) -> Self {
        let each = |time: Duration| time.as_secs_f64() / count as f64;
        let device = laps.iter().map(|lap| lap.device.map(each)).collect::<Option<Vec<_>>>();
        Self {
            count,
            wall: Samples(laps.iter().map(|lap| each(lap.wall)).collect()),
            device: device.map(Samples),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_median_mean_extremes_and_deviation() {
        let samples = Samples(vec![4.0, 1.0, 2.0, 5.0]);
        assert_eq!((samples.median(), samples.mean()), (3.0, 3.0));
        assert_eq!((samples.min(), samples.max()), (1.0, 5.0));
        assert!((samples.deviation() - (10.0f64 / 3.0).sqrt()).abs() < 1e-12);
        let one = Samples(vec![2.0]);
        assert_eq!((one.median(), one.deviation()), (2.0, 0.0));
    }

    #[test]
    fn short_work_repeats_until_the_repetition_time_and_long_work_does_not() {
        let settings = Settings::DEFAULT.with_repetitions(3);
        let counts = |each: Duration| {
            let mut counts = Vec::new();
            let timing = time_laps(&settings, |count| {
                counts.push(count);
                Ok(Lap { wall: Duration::ZERO, device: Some(each * count as u32) })
            });
            let timing = timing.unwrap();
            assert_eq!(timing.device.unwrap().values(), [each.as_secs_f64(); 3]);
            counts
        };
        assert_eq!(counts(Duration::from_secs(2)), [1; 4]);
        assert_eq!(counts(Duration::from_millis(90)), [1; 5]);
        let short = counts(Duration::from_millis(1));
        assert_eq!(short[short.len() - 3..], [100; 3]);
    }

    #[test]
    fn repetitions_of_several_operations_take_turns() {
        let settings = Settings::DEFAULT.with_repetitions(3);
        let told = std::cell::RefCell::new(Vec::new());
        let run = |name: char, each: Duration| -> Run {
            let told = &told;
            Box::new(move |count| {
                told.borrow_mut().push((name, count));
                Ok(Lap { wall: each * count as u32, device: None })
            })
        };
        let mut runs = [run('a', Duration::from_millis(50)), run('b', Duration::from_millis(100))];
        let timings = time_in_turns(&settings, &mut runs).unwrap();
        assert_eq!(timings.iter().map(|timing| timing.count).collect::<Vec<_>>(), [1, 1]);
        let turns = [('a', 1), ('b', 1)].repeat(3);
        assert!(told.borrow().ends_with(&turns), "{told:?}");
        assert_eq!(timings[0].wall.values(), [0.05; 3]);
        assert_eq!(timings[1].wall.values(), [0.1; 3]);
    }
}
