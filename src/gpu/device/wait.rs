//! Waiting for a device: in the calling thread, or as a future that needs nobody to poll the device.
//!
//! Every operation that waits is one `async fn` that takes a [`Wait`]. With [`Wait::Blocking`] its future is
//! ready when it is first polled, so that `pollster::block_on` of it is the blocking form; with
//! [`Wait::Async`] it never blocks, and is the only form in a browser.

use super::context::Gpu;
use super::signal::{Signal, Signalled};
use crate::{Error, Result};
use std::sync::{Arc, PoisonError};
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
    /// Fails with [`Error::DeviceLost`] on a device that is gone, which may have done nothing.
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

    /// Sends on what was written to buffers and waits until it is there.
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
        blocking::drive(self, wait, &signal, submission)?;
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
        return blocking::aside(self, prepare).await;
        #[cfg(target_arch = "wasm32")]
        {
            let prepared = prepare(self)?;
            self.settle().await?;
            Ok(prepared)
        }
    }

    /// Prepares here; but for a task, what is to be compiled for that is compiled elsewhere first.
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

    /// Learns that the device is gone.
    pub(in crate::gpu) fn lost(&self, reason: &str) -> Error {
        self.shared.lost.set(reason.to_owned());
        match self.check_lost() {
            Err(error) => error,
            // It was set just now.
            Ok(()) => Error::DeviceLost { device: self.name().to_owned(), reason: reason.to_owned() },
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod blocking {
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
