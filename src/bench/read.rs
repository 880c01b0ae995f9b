//! Reads results back from a device.

use crate::{Error, Gpu, Result};

/// Reads the first `bytes` bytes of a buffer with usage `COPY_SRC`, after all submitted work.
pub(super) fn read(gpu: &Gpu, buffer: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    gpu.guarded(|| {
        let slice = buffer.slice(..bytes);
        wgpu::util::DownloadBuffer::read_buffer(gpu.device(), gpu.queue(), &slice, move |result| {
            // The receiver is gone only if waiting has failed.
            let _ = sender.send(result.map(|view| view.to_vec()));
        });
    })?;
    gpu.wait_for_all()?;
    let lost = || Error::DeviceLost {
        device: gpu.name().to_owned(),
        reason: "a buffer could not be mapped".to_owned(),
    };
    receiver.recv().ok().and_then(Result::ok).ok_or_else(lost)
}
