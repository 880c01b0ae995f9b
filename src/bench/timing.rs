//! Repeating something until its time is known.

use crate::gpu::{Lap, Op};
use crate::{Gpu, Result};
use std::time::{Duration, Instant};

/// How to measure: [`Settings::DEFAULT`], changed by the methods that begin with `with_`, or field by field.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Repetitions that count.
    pub repetitions: usize,
    /// How long a repetition takes at least, where an operation alone is shorter: it is then done more than once.
    pub repetition_time: Duration,
    /// The largest cache that weights must not stay in. They rotate through copies, one more than fits.
    pub cache_bytes: u64,
    /// Whether a GPU's products take quantized weights as they lie in a file, not as they are laid out for it.
    pub as_in_file: bool,
}

impl Settings {
    /// Five repetitions of a tenth of a second; 96 MiB, as the largest cache of a GPU of 2025 has.
    pub const DEFAULT: Self = Self {
        repetitions: 5,
        repetition_time: Duration::from_millis(100),
        cache_bytes: 96 << 20,
        as_in_file: false,
    };

    /// These, with another [`repetitions`](Self::repetitions).
    #[must_use]
    pub const fn with_repetitions(self, repetitions: usize) -> Self {
        Self { repetitions, ..self }
    }

    /// These, with another [`repetition_time`](Self::repetition_time).
    #[must_use]
    pub const fn with_repetition_time(self, repetition_time: Duration) -> Self {
        Self { repetition_time, ..self }
    }

    /// These, with another [`cache_bytes`](Self::cache_bytes).
    #[must_use]
    pub const fn with_cache_bytes(self, cache_bytes: u64) -> Self {
        Self { cache_bytes, ..self }
    }

    /// These, with another [`as_in_file`](Self::as_in_file).
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

/// What an operation took, repetition by repetition.
#[derive(Clone, PartialEq, Debug)]
pub struct Timing {
    /// How often it was done in each repetition.
    pub count: u64,
    /// Seconds by the host's clock, from the submission until the host knew of the end, for each operation.
    pub wall: Samples,
    /// Seconds by the device's clock; none on the CPU, and where the device has no `TIMESTAMP_QUERY`.
    pub device: Option<Samples>,
}

impl Timing {
    /// By the device's clock where it has one, else by the host's.
    pub fn best_clock(&self) -> &Samples {
        self.device.as_ref().unwrap_or(&self.wall)
    }
}

/// Numbers of one kind, such as seconds, in the order in which they were measured; at least one.
#[derive(Clone, PartialEq, Debug)]
pub struct Samples(pub(super) Vec<f64>);

impl Samples {
    /// All of them.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        sorted[(n - 1) / 2].midpoint(sorted[n / 2])
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    /// The average.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The standard deviation of a sample, as llama-bench has it; 0 of one.
    pub fn deviation(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.0.iter().map(|x| (x - mean).powi(2)).sum();
        (squares / (self.0.len() - 1).max(1) as f64).sqrt()
    }
}

/// Times an operation on a device.
///
/// `copies` are the same operation on different copies of its data, which take turns, each of one or more steps. They are
/// recorded one after the other in one pass, as an app does it. Compiling, warming up and finding out how many make
/// [`Settings::repetition_time`] do not count. Fails with [`Error::Number`](crate::Error::Number) where there is no copy
/// or no repetition, and with what the device reports.
pub fn time_ops(gpu: &Gpu, copies: &[Vec<Op>], settings: &Settings) -> Result<Timing> {
    crate::cpu::check_positive("the number of copies", copies.len())?;
    let clock = gpu.clock()?;
    let mut turns = copies.iter().cycle();
    time_laps(settings, |count| {
        clock.time(|pass| {
            for op in turns.by_ref().take(count as usize).flatten() {
                op.record_in(pass);
            }
        })
    })
}

/// Times an operation on the CPU; `work` is told the number of the turn.
///
/// Fails with [`Error::Number`](crate::Error::Number) where there is no repetition, and as `work` does.
pub fn time_work(settings: &Settings, mut work: impl FnMut(usize) -> Result<()>) -> Result<Timing> {
    let mut turn = 0;
    time_laps(settings, |count| {
        let start = Instant::now();
        for _ in 0..count {
            work(turn)?;
            turn += 1;
        }
        Ok(Lap { wall: start.elapsed(), device: None })
    })
}

/// Times `lap`, which does something as often as it is told.
pub(super) fn time_laps(settings: &Settings, mut lap: impl FnMut(u64) -> Result<Lap>) -> Result<Timing> {
    /// Most that one repetition does: what a device is given at once must end before its watchdog wakes.
    const MOST: u64 = 1 << 14;
    crate::cpu::check_positive("the number of repetitions", settings.repetitions)?;
    let wanted = settings.repetition_time.as_secs_f64();
    let seconds = |lap: Lap| lap.device.unwrap_or(lap.wall).as_secs_f64();
    // The first compiles, and so says little; unless it is all that the second would be.
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
    fn samples_are_summed_up_as_statistics_has_it() {
        let samples = Samples(vec![4.0, 1.0, 2.0, 5.0]);
        assert_eq!((samples.median(), samples.mean()), (3.0, 3.0));
        assert_eq!((samples.min(), samples.max()), (1.0, 5.0));
        assert!((samples.deviation() - (10.0f64 / 3.0).sqrt()).abs() < 1e-12);
        let one = Samples(vec![2.0]);
        assert_eq!((one.median(), one.deviation()), (2.0, 0.0));
    }

    #[test]
    fn short_work_is_done_more_often_and_long_work_no_more_than_asked() {
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
