//! A thread that polls a device while tasks wait for it.

use super::signal::Signal;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use wgpu::{PollError, PollType, SubmissionIndex};

/// The most time between the end of the work and its callback; far longer than any callback takes.
pub(super) const CALLBACK_TIME: Duration = Duration::from_secs(10);
/// The pause between checks for a callback that another thread may be about to run.
pub(super) const PAUSE: Duration = Duration::from_millis(1);
/// The most time to wait within one call of wgpu: an app that destroys a buffer meanwhile is blocked that
/// long.
const SLICE: Duration = Duration::from_millis(2);
/// How long the idle thread waits for work before it ends.
const LINGER: Duration = Duration::from_millis(200);

/// The outcome of a poll.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Polled {
    Done,
    TimedOut,
    /// The device is lost, for this reason.
    Gone(String),
}

/// Polls the device. wgpu panics here if the driver has lost the device; that panic becomes an outcome, and
/// panics of an app's callbacks are passed on.
pub(super) fn poll(device: &wgpu::Device, how: PollType) -> Polled {
    match catch_unwind(AssertUnwindSafe(|| device.poll(how))) {
        Ok(Ok(_)) => Polled::Done,
        Ok(Err(PollError::Timeout)) => Polled::TimedOut,
        // A lost device ignores submissions but still assigns numbers to them.
        Ok(Err(error @ PollError::WrongSubmissionIndex(..))) => Polled::Gone(error.to_string()),
        Err(panic) => match panic.downcast_ref::<String>() {
            // After a wait that timed out, wgpu 30 asserts that the queue is not empty. Another thread's
            // submission may have emptied it meanwhile, and then has called all callbacks.
            Some(message) if message.starts_with("If the queue is empty, the current submission index") => {
                Polled::TimedOut
            }
            Some(message) if message.starts_with("Error in Device::poll") => Polled::Gone(message.clone()),
            _ => resume_unwind(panic),
        },
    }
}

/// A thread that polls a device while tasks wait for it. It starts with the first task and ends after
/// [`LINGER`] without one.
#[derive(Clone, Default, Debug)]
pub(super) struct Poller(Arc<(Mutex<Queue>, Condvar)>);

#[derive(Default, Debug)]
struct Queue {
    /// New entries that the thread has not taken yet.
    new: Vec<Awaited>,
    has_thread: bool,
}

#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) device: wgpu::Device,
    /// The submission to wait for.
    pub(super) submission: Option<SubmissionIndex>,
    pub(super) signal: Arc<Signal>,
    /// When the submission was done; only the callback is outstanding since.
    pub(super) done: Option<Instant>,
}

impl Poller {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, awaited: Awaited) -> std::io::Result<()> {
        let mut queue = self.queue();
        if !queue.has_thread {
            let poller = self.clone();
            thread::Builder::new().name("qmill-poll".to_owned()).spawn(move || poller.run())?;
            queue.has_thread = true;
        }
        queue.new.push(awaited);
        self.0.1.notify_one();
        Ok(())
    }

    fn run(&self) {
        let mut crew = Crew { poller: self, awaited: Vec::new() };
        while self.has_more(&mut crew.awaited) {
            crew.poll_once();
        }
    }

    /// Takes new entries. Waits for them if there is nothing else to do; false if none come.
    fn has_more(&self, awaited: &mut Vec<Awaited>) -> bool {
        let mut queue = self.queue();
        if awaited.is_empty() && queue.new.is_empty() {
            let waited = self.0.1.wait_timeout_while(queue, LINGER, |queue| queue.new.is_empty());
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            if queue.new.is_empty() {
                queue.has_thread = false;
                return false;
            }
        }
        awaited.append(&mut queue.new);
        true
    }
}

/// The entries that the thread works on. If a callback of an app panics, dropping this signals everyone who
/// waits.
struct Crew<'a> {
    poller: &'a Poller,
    awaited: Vec<Awaited>,
}

impl Crew<'_> {
    /// Polls for the first entry; this also runs the callbacks of all other finished work.
    fn poll_once(&mut self) {
        self.awaited.retain(|awaited| !awaited.signal.is_set());
        let Some(first) = self.awaited.first_mut() else { return };
        let how = match &first.submission {
            Some(submission) if first.done.is_none() => {
                PollType::Wait { submission_index: Some(submission.clone()), timeout: Some(SLICE) }
            }
            _ => PollType::Poll,
        };
        match poll(&first.device, how) {
            Polled::TimedOut => {}
            Polled::Gone(_) => first.signal.set(false),
            Polled::Done if first.signal.is_set() => {}
            Polled::Done => match first.done {
                None => first.done = Some(Instant::now()),
                Some(since) if since.elapsed() > CALLBACK_TIME => first.signal.set(false),
                Some(_) => {
                    first.signal.is_set_within(PAUSE);
                }
            },
        }
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut queue = self.poller.queue();
            queue.has_thread = false;
            self.awaited.append(&mut queue.new);
            self.awaited.iter().for_each(|awaited| awaited.signal.set(false));
        }
    }
}
