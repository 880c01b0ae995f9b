//! A thread that polls a device while tasks wait for it.

use super::signal::Signal;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use wgpu::{PollError, PollType, SubmissionIndex};

/// How long a callback may be in coming once its work is done: far longer than any that comes at all.
pub(super) const CALLBACK_TIME: Duration = Duration::from_secs(10);
/// Between two looks for a callback that another thread may be about to call.
pub(super) const PAUSE: Duration = Duration::from_millis(1);
/// How long wgpu is asked to wait at once: an app that destroys a buffer meanwhile waits so long.
const SLICE: Duration = Duration::from_millis(2);
/// How long the thread stays when nobody waits.
const LINGER: Duration = Duration::from_millis(200);

/// What a poll came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Polled {
    Done,
    TimedOut,
    /// The device is gone, for this reason.
    Gone(String),
}

/// Polls the device. On a device that its driver lost wgpu panics here; that is an outcome, and what
/// callbacks of an app panic with is passed on.
pub(super) fn poll(device: &wgpu::Device, how: PollType) -> Polled {
    match catch_unwind(AssertUnwindSafe(|| device.poll(how))) {
        Ok(Ok(_)) => Polled::Done,
        Ok(Err(PollError::Timeout)) => Polled::TimedOut,
        // A device that is gone takes no submission, but numbers it.
        Ok(Err(error @ PollError::WrongSubmissionIndex(..))) => Polled::Gone(error.to_string()),
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(message) if message.starts_with("Error in Device::poll") => Polled::Gone(message.clone()),
            _ => resume_unwind(panic),
        },
    }
}

/// A thread that polls a device while tasks wait for it: started when the first does, and gone when none
/// has for a while.
#[derive(Clone, Default, Debug)]
pub(super) struct Poller(Arc<(Mutex<Queue>, Condvar)>);

#[derive(Default, Debug)]
struct Queue {
    /// What the thread has not seen yet.
    new: Vec<Awaited>,
    has_thread: bool,
}

#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) device: wgpu::Device,
    /// What has to be done first.
    pub(super) submission: Option<SubmissionIndex>,
    pub(super) signal: Arc<Signal>,
    /// Since when nothing but the callback is outstanding.
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

    /// Takes what is new. Waits for it where there is nothing else to do, and ends where it does not
    /// come.
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

/// What the thread has to do. A panic, of a callback that is an app's, leaves nobody waiting.
struct Crew<'a> {
    poller: &'a Poller,
    awaited: Vec<Awaited>,
}

impl Crew<'_> {
    /// Polls for the first of those who wait; the callbacks of all others that are done come too.
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
