//! The highest rate of several ways to do one thing.

use crate::Result;
use crate::bench::timing::{Run, Settings, time_in_turns};
use std::time::Duration;

/// For finding the fastest way.
const FIRST_LOOK: Settings = Settings {
    repetitions: 2,
    repetition_time: Duration::from_millis(10),
    cache_bytes: 0,
    as_in_file: false,
    threads: None,
};
/// For measuring the fastest way.
const SECOND_LOOK: Settings =
    Settings { repetitions: 5, repetition_time: Duration::from_millis(50), ..FIRST_LOOK };

/// A way, and the work of one run in bytes, operations or dispatches.
pub(super) struct Way<'a> {
    pub(super) work: f64,
    pub(super) run: Run<'a>,
}

/// The highest rate of the fastest way; 0 without a way.
pub(super) fn best(ways: Vec<Way>) -> Result<f64> {
    let mut best = (0.0, None);
    for mut way in ways {
        let rate = rate(&mut way, &FIRST_LOOK)?;
        if rate > best.0 {
            best = (rate, Some(way));
        }
    }
    let (first, way) = best;
    Ok(way.map(|mut way| rate(&mut way, &SECOND_LOOK)).transpose()?.map_or(first, |second| second.max(first)))
}

/// The work per second in the fastest repetition.
fn rate(way: &mut Way, settings: &Settings) -> Result<f64> {
    let timing = time_in_turns(settings, std::slice::from_mut(&mut way.run))?.remove(0);
    Ok(way.work / timing.best_clock().min())
}
