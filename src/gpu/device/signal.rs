//! A flag that a wgpu callback sets, for a future or a waiting thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Set once, by a callback.
#[derive(Default, Debug)]
pub(super) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Debug)]
struct State {
    /// Whether the operation succeeded; `None` until it is known.
    outcome: Option<bool>,
    waker: Option<Waker>,
}

impl Signal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the outcome, unless it is set already.
    pub(super) fn set(&self, outcome: bool) {
        let waker = {
            let mut state = self.state();
            state.outcome.get_or_insert(outcome);
            self.changed.notify_all();
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn is_set(&self) -> bool {
        self.state().outcome.is_some()
    }

    /// Waits for the outcome for at most `time`; returns whether it is set.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn is_set_within(&self, time: std::time::Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), time, |state| state.outcome.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.outcome.is_some()
    }
}

pub(super) struct Signalled(pub(super) Arc<Signal>);

impl Future for Signalled {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut Context) -> Poll<bool> {
        let mut state = self.0.state();
        if let Some(outcome) = state.outcome {
            return Poll::Ready(outcome);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
