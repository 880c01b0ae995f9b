//! Waits for the device, in the calling thread or as a future. The host need not poll the device for the
//! future.
//!
//! Every operation that waits is an `async fn` that takes a [`Wait`]. With [`Wait::Blocking`], its future is
//! ready on the first poll, so that `pollster::block_on` of it is the blocking form. With [`Wait::Async`] it
//! never blocks; this is the only form in a browser.

use super::context::Gpu;
use super::signal::{Signal, Signalled};
use crate::{Error, Result};
use std::sync::{Arc, PoisonError};
use wgpu::{MapMode, SubmissionIndex};

/// How to wait for the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// Block the calling thread, which polls the device.
    #[cfg(not(target_arch = "wasm32"))]
    Blocking,
    /// Yield to other tasks. A background thread or the browser polls the device.
    Async,
}

impl Gpu {
    /// Maps the first `bytes` bytes of a buffer, after `submission` if one uses it.
    ///
    /// Fails with [`Error::DeviceLost`] on a lost device.
    pub(in crate::gpu) async fn mapped(
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
    /// Fails with [`Error::DeviceLost`] on a lost device, where the work may not have been done.
    pub(in crate::gpu) async fn done(&self, wait: Wait, submission: SubmissionIndex) -> Result<()> {
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

    /// Submits pending buffer writes and waits until they are done.
    pub(in crate::gpu) async fn flushed(&self, wait: Wait) -> Result<()> {
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

    /// Runs `prepare`, which may call for example [`Gpu::prepare_matmul`] or
    /// [`Kernel::new`](crate::gpu::Kernel::new), in a thread of its own, so that the task does not block
    /// while shaders are compiled.
    ///
    /// Compiled shaders are kept for all later operations. In a browser, where compiling does not block,
    /// `prepare` runs at once and its outcome is awaited. Fails as `prepare` does.
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

    /// Runs `prepare` in this thread. With [`Wait::Async`], the shaders that it needs are compiled in another
    /// thread first.
    pub(in crate::gpu) async fn prepared<T>(
        &self,
        wait: Wait,
        prepare: impl Fn(&Gpu) -> Result<T>,
    ) -> Result<T> {
        #[cfg(not(target_arch = "wasm32"))]
        if wait == Wait::Async {
            loop {
                let missing = Arc::default();
                let looking = Self { missing: Some(Arc::clone(&missing)), ..self.clone() };
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

    /// Marks the device as lost and returns the error.
    pub(in crate::gpu) fn lost(&self, reason: &str) -> Error {
        self.shared.lost.set(reason.to_owned());
        match self.check_lost() {
            Err(error) => error,
            // Unreachable: the reason was set just now.
            Ok(()) => Error::DeviceLost { device: self.name().to_owned(), reason: reason.to_owned() },
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::Wait;
    use crate::gpu::device::context::Gpu;
    use crate::gpu::device::poller::{Awaited, CALLBACK_TIME, PAUSE, Polled, poll};
    use crate::gpu::device::signal::{Signal, Signalled};
    use crate::{Error, Result};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread;
    use std::time::Instant;
    use wgpu::{PollType, SubmissionIndex};

    /// Polls the device until `signal` is set, or hands it to the device's poller thread.
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
        // Only the callback is outstanding. Any thread that polls may be about to run it.
        let deadline = Instant::now() + CALLBACK_TIME;
        loop {
            gpu.poll(PollType::Poll)?;
            gpu.check_lost()?;
            if signal.is_set_within(PAUSE) {
                return Ok(());
            }
            // On a lost device, a mapping fails or its callback never comes.
            if Instant::now() > deadline {
                signal.set(false);
            }
        }
    }

    /// Runs `work` in a thread of its own.
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
        match done.expect("the result is stored before the signal is set") {
            Ok(done) => done,
            Err(panic) => resume_unwind(panic),
        }
    }

    impl Gpu {
        /// The blocking form of [`Gpu::mapped`].
        pub(in crate::gpu) fn map(
            &self,
            buffer: &wgpu::Buffer,
            mode: wgpu::MapMode,
            bytes: u64,
            submission: Option<SubmissionIndex>,
        ) -> Result<()> {
            pollster::block_on(self.mapped(Wait::Blocking, buffer, mode, bytes, submission))
        }

        /// Polls the device. Fails with [`Error::DeviceLost`], including when wgpu panics because the driver
        /// lost the device.
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
