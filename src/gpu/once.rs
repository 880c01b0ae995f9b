//! An operation that is done once, on slices, in buffers of its own: waited for, or awaited.

use super::Gpu;
use super::op::Op;
use super::wait::Wait;
use crate::Result;
use bytemuck::Pod;
use wgpu::{BufferBinding, BufferUsages, MapMode};

impl Gpu {
    /// Does the operation that `prepare` makes for a range with `input` and one for `output`, and waits for it
    /// in this way. What the operation does not write of `output` stays.
    pub(super) async fn run_once<I: Pod, O: Pod>(
        &self,
        wait: Wait,
        input: &[I],
        output: &mut [O],
        prepare: impl Fn(&Gpu, &BufferBinding, &BufferBinding) -> Result<Op>,
    ) -> Result<()> {
        let (input, output): (&[u8], &mut [u8]) =
            (bytemuck::cast_slice(input), bytemuck::cast_slice_mut(output));
        let bytes = output.len() as u64;
        let on_device = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let source = self.buffer(input.len() as u64, on_device)?;
        let result = self.buffer(bytes, on_device)?;
        let readback = self.buffer(bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        let prepare =
            |gpu: &Gpu| prepare(gpu, &source.as_entire_buffer_binding(), &result.as_entire_buffer_binding());
        let op = self.prepared(wait, prepare).await?;
        let submission = self.guarded(|| {
            self.queue().write_buffer(&source, 0, input);
            self.queue().write_buffer(&result, 0, output);
            self.submit(|encoder| {
                op.record(encoder);
                encoder.copy_buffer_to_buffer(&result, 0, &readback, 0, bytes);
            })
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
