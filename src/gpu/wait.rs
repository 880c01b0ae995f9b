//! Waiting for a device: in the calling thread, or as a future that needs nobody to poll the device.
//!
//! Every operation that waits is one `async fn` that takes a [`Wait`]. With [`Wait::Blocking`] its future is
//! ready when it is first polled, so that `pollster::block_on` of it is the blocking form; with
//! [`Wait::Async`] it never blocks, and is the only form in a browser.

use super::Gpu;
use crate::{Error, Result};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wgpu::{MapMode, SubmissionIndex};

/// Who waits until the device is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// The calling thread, which polls the device.
    #[cfg(not(target_arch = "wasm32"))]
    Blocking,
    /// A task. A thread polls the device meanwhile, or the browser does.
    Async,
}

impl Gpu {
    /// Maps the first `bytes` bytes of a buffer; after `submission`, if one uses it.
    ///
    /// Fails with [`Error::DeviceLost`] on a device that is gone.
    pub(super) async fn mapped(
        &self,
        wait: Wait,
        buffer: &wgpu::Buffer,
        mode: MapMode,
        bytes: u64,
        submission: Option<SubmissionIndex>,
    ) -> Result<()> {
        let signal = Arc::new(Signal::default());
        let mapped = signal.clone();
        self.guarded(|| buffer.map_async(mode, ..bytes, move |result| mapped.set(result.is_ok())))?;
        self.signalled(wait, signal, submission).await
    }

    /// Waits until `submission` is done.
    ///
    /// Fails with [`Error::DeviceLost`] on a device that is gone, which may have done nothing.
    pub(super) async fn done(&self, wait: Wait, submission: SubmissionIndex) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        if wait == Wait::Blocking {
            return self.wait(submission);
        }
        let signal = Arc::new(Signal::default());
        let done = signal.clone();
        self.guarded(|| self.queue().on_submitted_work_done(move || done.set(true)))?;
        self.signalled(wait, signal, Some(submission)).await?;
        self.check_alive()
    }

    /// Sends on what was written to buffers and waits until it is there.
    pub(super) async fn flushed(&self, wait: Wait) -> Result<()> {
        let submission = self.guarded(|| self.queue().submit([]))?;
        self.done(wait, submission).await
    }

    async fn signalled(
        &self,
        wait: Wait,
        signal: Arc<Signal>,
        submission: Option<SubmissionIndex>,
    ) -> Result<()> {
        #[cfg(target_arch = "wasm32")]
        let (Wait::Async, _) = (wait, submission);
        #[cfg(not(target_arch = "wasm32"))]
        native::drive(self, wait, &signal, submission)?;
        let is_good = Signalled(signal).await;
        self.settle().await?;
        self.check_lost()?;
        if is_good { Ok(()) } else { Err(self.fault("a buffer could not be mapped".to_owned())) }
    }

    /// Does what an app prepares, such as [`Gpu::prepare_matmul`] or [`Kernel::new`](super::Kernel::new), in
    /// a thread of its own, so that a task does not block while shaders are compiled.
    ///
    /// What is compiled once is there from then on, for products that are awaited as well. In a browser,
    /// which compiles aside by itself, `prepare` runs at once, and what it came to is awaited. Fails as
    /// `prepare` does.
    ///
    /// ```no_run
    /// # use qmill::{Gpu, gpu::{Activations, Matrix, Op}, wgpu};
    /// # async fn f(gpu: Gpu, matrix: Matrix, x: wgpu::Buffer, y: wgpu::Buffer) -> qmill::Result<Op> {
    /// gpu.prepare_async(move |gpu| {
    ///     let x = Activations::exact(x.as_entire_buffer_binding(), 1, matrix.cols());
    ///     gpu.prepare_matmul(&matrix, &x, None, &y.as_entire_buffer_binding())
    /// })
    /// .await
    /// # }
    /// ```
    pub async fn prepare_async<T: Send + 'static>(
        &self,
        prepare: impl FnOnce(&Gpu) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        #[cfg(not(target_arch = "wasm32"))]
        return native::aside(self, prepare).await;
        #[cfg(target_arch = "wasm32")]
        {
            let prepared = prepare(self)?;
            self.settle().await?;
            Ok(prepared)
        }
    }

    /// Prepares here; but for a task, what is to be compiled for that is compiled elsewhere first.
    pub(super) async fn prepared<T>(&self, wait: Wait, prepare: impl Fn(&Gpu) -> Result<T>) -> Result<T> {
        #[cfg(not(target_arch = "wasm32"))]
        if wait == Wait::Async {
            loop {
                let missing = Arc::default();
                let looking = Self { looks_only: Some(Arc::clone(&missing)), ..self.clone() };
                let prepared = prepare(&looking);
                let jobs = std::mem::take(&mut *missing.lock().unwrap_or_else(PoisonError::into_inner));
                if jobs.is_empty() {
                    return prepared;
                }
                let compile = |gpu: &Gpu| jobs.into_iter().try_for_each(|job| gpu.compile_missing(job));
                self.prepare_async(compile).await?;
            }
        }
        #[cfg(target_arch = "wasm32")]
        let Wait::Async = wait;
        let prepared = prepare(self)?;
        self.settle().await?;
        Ok(prepared)
    }

    /// Learns that the device is gone.
    pub(super) fn lost(&self, reason: &str) -> Error {
        self.shared.lost.set(reason.to_owned());
        match self.check_lost() {
            Err(error) => error,
            // It was set just now.
            Ok(()) => Error::DeviceLost { device: self.name().to_owned(), reason: reason.to_owned() },
        }
    }
}

/// What a callback of wgpu tells a future.
#[derive(Default, Debug)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Debug)]
struct State {
    /// Whether what was waited for came about, once it is known.
    outcome: Option<bool>,
    waker: Option<Waker>,
}

impl Signal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first outcome counts.
    fn set(&self, outcome: bool) {
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
    fn is_set(&self) -> bool {
        self.state().outcome.is_some()
    }

    /// Waits at most so long until it is set.
    #[cfg(not(target_arch = "wasm32"))]
    fn is_set_within(&self, time: std::time::Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), time, |state| state.outcome.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.outcome.is_some()
    }
}

struct Signalled(Arc<Signal>);

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

#[cfg(not(target_arch = "wasm32"))]
pub(super) use native::Poller;

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::{Signal, Signalled, Wait};
    use crate::gpu::Gpu;
    use crate::{Error, Result};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
    use std::thread;
    use std::time::{Duration, Instant};
    use wgpu::{PollError, PollType, SubmissionIndex};

    /// How long a callback may be in coming once its work is done: far longer than any that comes at all.
    const CALLBACK_TIME: Duration = Duration::from_secs(10);
    /// Between two looks for a callback that another thread may be about to call.
    const PAUSE: Duration = Duration::from_millis(1);
    /// How long wgpu is asked to wait at once: an app that destroys a buffer meanwhile waits so long.
    const SLICE: Duration = Duration::from_millis(2);
    /// How long the thread stays when nobody waits.
    const LINGER: Duration = Duration::from_millis(200);

    /// What a poll came to.
    #[derive(Clone, PartialEq, Eq, Debug)]
    enum Polled {
        Done,
        TimedOut,
        /// The device is gone, for this reason.
        Gone(String),
    }

    /// Polls the device. On a device that its driver lost wgpu panics here; that is an outcome, and what
    /// callbacks of an app panic with is passed on.
    fn poll(device: &wgpu::Device, how: PollType) -> Polled {
        match catch_unwind(AssertUnwindSafe(|| device.poll(how))) {
            Ok(Ok(_)) => Polled::Done,
            Ok(Err(PollError::Timeout)) => Polled::TimedOut,
            // A device that is gone takes no submission, but numbers it.
            Ok(Err(error @ PollError::WrongSubmissionIndex(..))) => Polled::Gone(error.to_string()),
            Err(panic) => match panic.downcast_ref::<String>() {
                Some(message) if message.starts_with("Error in Device::poll") => {
                    Polled::Gone(message.clone())
                }
                _ => resume_unwind(panic),
            },
        }
    }

    /// Has the device polled until `signal` is set: here, or by the device's thread.
    pub(super) fn drive(
        gpu: &Gpu,
        wait: Wait,
        signal: &Arc<Signal>,
        submission: Option<SubmissionIndex>,
    ) -> Result<()> {
        if wait == Wait::Async {
            let awaited =
                Awaited { submission, signal: signal.clone(), done: None, device: gpu.device().clone() };
            return gpu.shared.poller.add(awaited).map_err(|error| gpu.fault(error.to_string()));
        }
        if let Some(submission) = submission {
            gpu.poll(PollType::Wait { submission_index: Some(submission), timeout: None })?;
        }
        // What is pending is the callback alone, which any thread that polls may be about to call.
        let deadline = Instant::now() + CALLBACK_TIME;
        loop {
            gpu.poll(PollType::Poll)?;
            gpu.check_lost()?;
            if signal.is_set_within(PAUSE) {
                return Ok(());
            }
            // On a device that is gone a mapping fails, or is never heard of again.
            if Instant::now() > deadline {
                signal.set(false);
            }
        }
    }

    /// Does something in a thread of its own.
    pub(super) async fn aside<T: Send + 'static>(
        gpu: &Gpu,
        work: impl FnOnce(&Gpu) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let signal = Arc::new(Signal::default());
        let result = Arc::new(Mutex::new(None));
        let (is_done, left, handle) = (signal.clone(), result.clone(), gpu.clone());
        let work = move || {
            let done = catch_unwind(AssertUnwindSafe(|| work(&handle)));
            *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
            is_done.set(true);
        };
        let thread = thread::Builder::new().name("qmill-prepare".to_owned());
        thread.spawn(work).map_err(|error| gpu.fault(error.to_string()))?;
        Signalled(signal).await;
        let done = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        match done.expect("it is there before the signal is set") {
            Ok(done) => done,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// A thread that polls a device while tasks wait for it: started when the first does, and gone when none
    /// has for a while.
    #[derive(Clone, Default, Debug)]
    pub(in crate::gpu) struct Poller(Arc<(Mutex<Queue>, Condvar)>);

    #[derive(Default, Debug)]
    struct Queue {
        /// What the thread has not seen yet.
        new: Vec<Awaited>,
        has_thread: bool,
    }

    #[derive(Debug)]
    struct Awaited {
        device: wgpu::Device,
        /// What has to be done first.
        submission: Option<SubmissionIndex>,
        signal: Arc<Signal>,
        /// Since when nothing but the callback is outstanding.
        done: Option<Instant>,
    }

    impl Poller {
        fn queue(&self) -> MutexGuard<'_, Queue> {
            self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn add(&self, awaited: Awaited) -> std::io::Result<()> {
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

    impl Gpu {
        /// [`Gpu::mapped`], waited for here.
        pub(in crate::gpu) fn map(
            &self,
            buffer: &wgpu::Buffer,
            mode: wgpu::MapMode,
            bytes: u64,
            submission: Option<SubmissionIndex>,
        ) -> Result<()> {
            pollster::block_on(self.mapped(Wait::Blocking, buffer, mode, bytes, submission))
        }

        /// Polls the device. Fails with [`Error::DeviceLost`], also where the driver lost it.
        pub(in crate::gpu) fn poll(&self, how: PollType) -> Result<()> {
            match poll(self.device(), how) {
                Polled::Done => self.check_lost(),
                Polled::TimedOut => Err(Error::Device {
                    device: self.name().to_owned(),
                    message: "waiting for the device timed out".to_owned(),
                }),
                Polled::Gone(reason) => Err(self.lost(&reason)),
            }
        }
    }
}
