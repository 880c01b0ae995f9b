//! An operation that is done once, on slices, in buffers of its own: waited for, or awaited.

use super::Gpu;
use super::op::Op;
use super::wait::Wait;
use crate::Result;
use bytemuck::Pod;
use wgpu::{BufferBinding, BufferUsages, MapMode};

/// What was submitted, and where its result will be.
struct Started {
    readback: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
}

impl Gpu {
    /// Does the operation that `prepare` makes for a range with `input` and one for `output`, and waits for it. What the operation does not write of `output`
    /// stays.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn run_once<I: Pod, O: Pod>(
        &self,
        input: &[I],
        output: &mut [O],
        prepare: impl FnOnce(&BufferBinding, &BufferBinding) -> Result<Op>,
    ) -> Result<()> {
        pollster::block_on(self.run_once_as(Wait::Blocking, input, output, prepare))
    }

    /// The same, to be awaited.
    pub(super) async fn run_once_async<I: Pod, O: Pod>(
        &self,
        input: &[I],
        output: &mut [O],
        prepare: impl FnOnce(&BufferBinding, &BufferBinding) -> Result<Op>,
    ) -> Result<()> {
        self.run_once_as(Wait::Async, input, output, prepare).await
    }

    /// The same, waited for in this way.
    pub(super) async fn run_once_as<I: Pod, O: Pod>(
        &self,
        wait: Wait,
        input: &[I],
        output: &mut [O],
        prepare: impl FnOnce(&BufferBinding, &BufferBinding) -> Result<Op>,
    ) -> Result<()> {
        let Started { readback, submission } = self.start_once(input, output, prepare)?;
        self.mapped(wait, &readback, MapMode::Read, readback.size(), Some(submission)).await?;
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
