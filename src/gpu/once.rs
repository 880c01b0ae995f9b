//! An operation that is done once, on slices, in buffers of its own: waited for, or awaited.

use super::Gpu;
use super::op::Op;
use super::wait::Wait;
use crate::Result;
use bytemuck::Pod;
use wgpu::{BufferBinding, BufferUsages, MapMode};

/// What an operation makes of a range with its input and one for its output.
pub(super) trait Prepare:
    Fn(&Gpu, &BufferBinding, &BufferBinding) -> Result<Op> + Send + 'static
{
}

impl<T: Fn(&Gpu, &BufferBinding, &BufferBinding) -> Result<Op> + Send + 'static> Prepare for T {}

impl Gpu {
    /// Does the operation that `prepare` makes for a range with `input` and one for `output`, and waits for it. What the operation does not write of `output`
    /// stays.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn run_once<I: Pod, O: Pod>(
        &self,
        input: &[I],
        output: &mut [O],
        prepare: impl Prepare,
    ) -> Result<()> {
        pollster::block_on(self.run_once_as(Wait::Blocking, input, output, prepare))
    }

    /// The same, to be awaited. What is not compiled yet is compiled in a thread of its own.
    pub(super) async fn run_once_async<I: Pod, O: Pod>(
        &self,
        input: &[I],
        output: &mut [O],
        prepare: impl Prepare,
    ) -> Result<()> {
        self.run_once_as(Wait::Async, input, output, prepare).await
    }

    /// The same, waited for in this way.
    pub(super) async fn run_once_as<I: Pod, O: Pod>(
        &self,
        wait: Wait,
        input: &[I],
        output: &mut [O],
        prepare: impl Prepare,
    ) -> Result<()> {
        let (input, output): (&[u8], &mut [u8]) =
            (bytemuck::cast_slice(input), bytemuck::cast_slice_mut(output));
        let bytes = output.len() as u64;
        let on_device = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let source = self.buffer(input.len() as u64, on_device)?;
        let result = self.buffer(bytes, on_device)?;
        let readback = self.buffer(bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        let (x, y) = (source.clone(), result.clone());
        let prepare =
            move |gpu: &Gpu| prepare(gpu, &x.as_entire_buffer_binding(), &y.as_entire_buffer_binding());
        let op = self.prepared(wait, prepare).await?;
        let submission = self.guarded(|| {
            self.queue().write_buffer(&source, 0, input);
            self.queue().write_buffer(&result, 0, output);
            let mut encoder =
                self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            op.record(&mut encoder);
            encoder.copy_buffer_to_buffer(&result, 0, &readback, 0, bytes);
            self.queue().submit([encoder.finish()])
        })?;
        self.read(wait, &readback, output, Some(submission)).await
    }

    /// Reads from the start of a buffer with usage `MAP_READ`, after `submission` if one writes it.
    pub(super) async fn read(
        &self,
        wait: Wait,
        readback: &wgpu::Buffer,
        bytes: &mut [u8],
        submission: Option<wgpu::SubmissionIndex>,
    ) -> Result<()> {
        let count = bytes.len() as u64;
        self.mapped(wait, readback, MapMode::Read, count, submission).await?;
        {
            let view = self.guarded(|| readback.get_mapped_range(..count))?;
            bytes.copy_from_slice(&view.map_err(|error| self.fault(error.to_string()))?);
        }
        self.guarded(|| readback.unmap())
    }
}
