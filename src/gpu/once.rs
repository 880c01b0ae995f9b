//! An operation that is done once, on slices, in buffers of its own: waited for, or awaited.

use super::Gpu;
use super::convert::map;
use super::op::Op;
use crate::{Error, Result};
use bytemuck::Pod;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use wgpu::{BufferBinding, BufferUsages, MapMode};

/// What was submitted, and where its result will be.
struct Started {
    readback: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
}

impl Gpu {
    /// Does the operation that `prepare` makes for a range with `input` and one for `output`, and waits for it. What the operation does not write of `output`
    /// stays.
    pub(super) fn run_once<I: Pod, O: Pod>(
        &self,
        input: &[I],
        output: &mut [O],
        prepare: impl FnOnce(&BufferBinding, &BufferBinding) -> Result<Op>,
    ) -> Result<()> {
        let started = self.start_once(input, output, prepare)?;
        map(self, &started.readback, MapMode::Read, started.readback.size(), Some(started.submission))?;
        self.read_mapped(&started.readback, output)
    }

    /// The same, to be awaited while the app polls the device.
    pub(super) async fn run_once_async<I: Pod, O: Pod>(
        &self,
        input: &[I],
        output: &mut [O],
        prepare: impl FnOnce(&BufferBinding, &BufferBinding) -> Result<Op>,
    ) -> Result<()> {
        let readback = self.start_once(input, output, prepare)?.readback;
        let mapping = Mapping::default();
        let shared = mapping.shared.clone();
        self.guarded(|| {
            readback.map_async(MapMode::Read, .., move |result| Mapping::finish(&shared, result));
        })?;
        if mapping.await.is_err() {
            self.check_lost()?;
            let reason = "a buffer could not be mapped".to_owned();
            return Err(Error::DeviceLost { device: self.name().to_owned(), reason });
        }
        self.read_mapped(&readback, output)
    }

    fn start_once<I: Pod, O: Pod>(
        &self,
        input: &[I],
        output: &[O],
        prepare: impl FnOnce(&BufferBinding, &BufferBinding) -> Result<Op>,
    ) -> Result<Started> {
        let (input, output): (&[u8], &[u8]) = (bytemuck::cast_slice(input), bytemuck::cast_slice(output));
        let bytes = output.len() as u64;
        let on_device = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let source = self.buffer(input.len() as u64, on_device)?;
        let result = self.buffer(bytes, on_device)?;
        let readback = self.buffer(bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        let op = prepare(&source.as_entire_buffer_binding(), &result.as_entire_buffer_binding())?;
        let submission = self.guarded(|| {
            self.queue().write_buffer(&source, 0, input);
            self.queue().write_buffer(&result, 0, output);
            let mut encoder =
                self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            op.record(&mut encoder);
            encoder.copy_buffer_to_buffer(&result, 0, &readback, 0, bytes);
            self.queue().submit([encoder.finish()])
        })?;
        Ok(Started { readback, submission })
    }

    fn read_mapped<O: Pod>(&self, readback: &wgpu::Buffer, output: &mut [O]) -> Result<()> {
        let view = readback.get_mapped_range(..).map_err(|error| self.fault(error.to_string()))?;
        bytemuck::cast_slice_mut(output).copy_from_slice(&view);
        Ok(())
    }
}

type Outcome = Result<(), wgpu::BufferAsyncError>;

/// A buffer that is being mapped, as a future.
#[derive(Default)]
struct Mapping {
    shared: Arc<Mutex<(Option<Outcome>, Option<Waker>)>>,
}

impl Mapping {
    fn finish(shared: &Mutex<(Option<Outcome>, Option<Waker>)>, outcome: Outcome) {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.0 = Some(outcome);
        if let Some(waker) = shared.1.take() {
            waker.wake();
        }
    }
}

impl Future for Mapping {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context) -> Poll<Outcome> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = shared.0.take() {
            return Poll::Ready(outcome);
        }
        shared.1 = Some(context.waker().clone());
        Poll::Pending
    }
}
