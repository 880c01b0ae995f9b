//! Times operations by repeating them.

use crate::gpu::{Lap, Op};
use crate::{Gpu, Result};
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
}

impl Settings {
    /// Five repetitions of 100 ms, and a cache of 96 MiB, the largest of a GPU of 2025.
    pub const DEFAULT: Self = Self {
        repetitions: 5,
        repetition_time: Duration::from_millis(100),
        cache_bytes: 96 << 20,
        as_in_file: false,
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
    crate::cpu::check_positive("the number of copies", copies.len())?;
    let clock = gpu.clock()?;
    let mut rotation = copies.iter().cycle();
    time_laps(settings, |count| {
        clock.time(|pass| {
            for op in rotation.by_ref().take(count as usize).flatten() {
                op.record_in(pass);
            }
        })
    })
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
pub(super) fn time_laps(settings: &Settings, mut lap: impl FnMut(u64) -> Result<Lap>) -> Result<Timing> {
    /// The most runs of one repetition: a submission must end before the driver's timeout.
    const MOST: u64 = 1 << 14;
    crate::cpu::check_positive("the number of repetitions", settings.repetitions)?;
    let wanted = settings.repetition_time.as_secs_f64();
    let seconds = |lap: Lap| lap.device.unwrap_or(lap.wall).as_secs_f64();
    // The first run compiles, so its time counts only if it is long.
    let mut count = 1;
    let mut taken = lap(count)?;
    if seconds(taken) < 4.0 * wanted.max(0.25) {
        taken = lap(count)?;
    }
    while seconds(taken) < wanted / 2.0 && count < MOST {
        let guess = (count as f64 * wanted / seconds(taken).max(1e-9)) as u64;
        count = guess.clamp(count + 1, 10 * count).min(MOST);
        taken = lap(count)?;
    }
    let laps = (0..settings.repetitions).map(|_| lap(count)).collect::<Result<Vec<_>>>()?;
    let each = |time: Duration| time.as_secs_f64() / count as f64;
    let device = laps.iter().map(|lap| lap.device.map(each)).collect::<Option<Vec<_>>>();
    Ok(Timing {
        count,
        wall: Samples(laps.iter().map(|lap| each(lap.wall)).collect()),
        device: device.map(Samples),
    })
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
        let settings = Settings {
            repetitions: 3,
            repetition_time: Duration::from_millis(100),
            cache_bytes: 0,
            as_in_file: false,
        };
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
}
