//! A progress bar, and Ctrl-C that stops between two steps.

use super::failure::Failure;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A progress bar on the standard error; nothing if that is no terminal.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// A bar for so many steps.
    pub(super) fn new(steps: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("{wide_msg} {bar:24} {pos}/{len}, {elapsed} so far, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    /// Shows what is being done.
    pub(super) fn tell(&self, doing: &str) {
        self.0.set_message(doing.to_owned());
        self.0.tick();
    }

    pub(super) fn advance(&self, steps: usize) {
        self.0.inc(steps as u64);
    }

    /// Prints while there is no bar in the way.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// Whether a signal has asked to stop. A second one ends the program immediately.
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Handles Ctrl-C and `kill` from here on.
    pub(super) fn new() -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let shutdown =
                flag::register_conditional_shutdown(signal, super::failure::INTERRUPTED.into(), stop.clone());
            shutdown.map_err(Failure::Signals)?;
            flag::register(signal, stop.clone()).map_err(Failure::Signals)?;
        }
        Ok(Self(stop))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
