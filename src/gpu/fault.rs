//! What can go wrong on a device, as errors: wgpu's own way is to panic.

use crate::{Error, Result};
use std::sync::{Arc, OnceLock};
use wgpu::ErrorFilter;

/// Why a device was lost, once it is.
#[derive(Clone, Default, Debug)]
pub(super) struct Lost(Arc<OnceLock<String>>);

impl Lost {
    /// Learns of the loss of a device that is ours; a host's device keeps the host's handlers.
    pub(super) fn of(device: &wgpu::Device) -> Self {
        let lost = Self::default();
        let (on_lost, on_error) = (lost.clone(), lost.clone());
        device
            .set_device_lost_callback(move |reason, message| on_lost.set(format!("{message} ({reason:?})")));
        // All calls are made under error scopes; what arrives here arises outside of any, and nothing after it counts.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| on_error.set(error.to_string())));
        lost
    }

    fn set(&self, reason: String) {
        // The first reason is the cause.
        let _ = self.0.set(reason);
    }

    pub(super) fn check(&self, device: &str) -> Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(reason) => Err(Error::DeviceLost { device: device.to_owned(), reason: reason.clone() }),
        }
    }
}

/// Runs `work` and returns the first error that wgpu reports of it on this thread.
pub(super) fn guarded<T>(device: &wgpu::Device, name: &str, work: impl FnOnce() -> T) -> Result<T> {
    let scopes = [ErrorFilter::Internal, ErrorFilter::Validation, ErrorFilter::OutOfMemory]
        .map(|filter| device.push_error_scope(filter));
    let value = work();
    // The innermost scope is the last; all must be popped, whatever they hold.
    let errors = scopes.into_iter().rev().map(|scope| pollster::block_on(scope.pop())).collect::<Vec<_>>();
    match errors.into_iter().flatten().next() {
        None => Ok(value),
        Some(wgpu::Error::OutOfMemory { source }) => {
            Err(Error::DeviceMemory { device: name.to_owned(), detail: format!(": {source}") })
        }
        Some(error) => Err(Error::Device { device: name.to_owned(), message: error.to_string() }),
    }
}
