//! Ctrl-C during a conversation.

use crate::cli::failure::{self, Failure};
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Handles Ctrl-C: it stops the current work or, if there is none, ends the program.
pub(super) struct Interrupt {
    /// Set while there is no work: then a signal ends the program.
    stop: Arc<AtomicBool>,
}

impl Interrupt {
    pub(super) fn new() -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(true));
        flag::register_conditional_shutdown(SIGINT, failure::INTERRUPTED.into(), Arc::clone(&stop))
            .map_err(Failure::Signals)?;
        flag::register(SIGINT, Arc::clone(&stop)).map_err(Failure::Signals)?;
        Ok(Self { stop })
    }

    /// Runs `work`, which polls [`is_set`](Self::is_set). A second signal ends the program immediately.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        self.stop.store(false, Ordering::Relaxed);
        let done = work();
        self.stop.store(true, Ordering::Relaxed);
        done
    }

    /// Whether the current work should stop.
    pub(super) fn is_set(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
