//! Reads results back to the host.

use crate::gpu::Gpu;
use crate::gpu::device::wait::Wait;
use crate::{Error, Result};
use wgpu::MapMode;

impl Gpu {
    /// Submits the recorded commands, waits for them, and reads `bytes` from the start of `readback`, a
    /// buffer with usage `MAP_READ`.
    ///
    /// The length of `bytes` must be a multiple of 4. Fails with [`Error::ShortRange`] if the buffer is
    /// shorter, and with errors of the device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn submit_and_read(
        &self,
        encoder: wgpu::CommandEncoder,
        readback: &wgpu::Buffer,
        bytes: &mut [u8],
    ) -> Result<()> {
        self.submit_and_read_after(self.guarded(|| encoder.finish())?, readback, bytes, || Ok(()))
    }

    /// The `async` form of [`Gpu::submit_and_read`]. It does not block, and the app need not poll the device.
    pub async fn submit_and_read_async(
        &self,
        encoder: wgpu::CommandEncoder,
        readback: &wgpu::Buffer,
        bytes: &mut [u8],
    ) -> Result<()> {
        let commands = self.guarded(|| encoder.finish())?;
        let submission = self.submit_to_read(commands, readback, bytes)?;
        self.read(Wait::Async, readback, bytes, Some(submission)).await?;
        self.settle().await
    }

    /// [`Gpu::submit_and_read`] of finished commands that calls `meanwhile` after submitting and before
    /// waiting, for example to record the next commands. Recording hundreds of operations takes about as long
    /// as a large GPU takes for some of them.
    ///
    /// Fails as that does, and as `meanwhile` does, in which case nothing is read.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn submit_and_read_after(
        &self,
        commands: wgpu::CommandBuffer,
        readback: &wgpu::Buffer,
        bytes: &mut [u8],
        meanwhile: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let submission = self.submit_to_read(commands, readback, bytes)?;
        meanwhile()?;
        pollster::block_on(self.read(Wait::Blocking, readback, bytes, Some(submission)))
    }

    fn submit_to_read(
        &self,
        commands: wgpu::CommandBuffer,
        readback: &wgpu::Buffer,
        bytes: &[u8],
    ) -> Result<wgpu::SubmissionIndex> {
        let (needed_bytes, has) = (bytes.len() as u64, readback.size());
        if needed_bytes > has {
            return Err(Error::ShortRange { name: "the buffer to read", needed_bytes, bytes: has });
        }
        self.guarded(|| self.queue().submit([commands]))
    }

    /// Reads from the start of a buffer with usage `MAP_READ`, after `submission` if one writes it.
    pub(in crate::gpu) async fn read(
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
