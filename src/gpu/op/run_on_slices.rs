//! Runs an operation once on slices, through buffers of its own.

use super::Op;
use crate::Result;
use crate::gpu::Gpu;
use crate::gpu::device::wait::Wait;
use bytemuck::Pod;
use wgpu::{BufferBinding, BufferUsages};

impl Gpu {
    /// Runs the operation that `prepare` returns for the buffers of `input` and `output`, and waits for it.
    /// Parts of `output` that the operation does not write are unchanged.
    pub(in crate::gpu) async fn run_on_slices<I: Pod, O: Pod>(
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
}
