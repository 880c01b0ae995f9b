//! What can go wrong on a device, as errors: wgpu's own way is to panic.

use crate::{Error, Result};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
#[cfg(not(target_arch = "wasm32"))]
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};
use wgpu::ErrorFilter;

/// Why a device was lost, once it is.
#[derive(Clone, Default, Debug)]
pub(in crate::gpu) struct Lost(Arc<OnceLock<String>>);

impl Lost {
    /// Learns of the loss of a device that is ours; a host's device keeps the host's handlers, and is asked
    /// (`Gpu::check_alive`).
    pub(in crate::gpu) fn of(device: &wgpu::Device) -> Self {
        let lost = Self::default();
        let (on_lost, on_error) = (lost.clone(), lost.clone());
        device
            .set_device_lost_callback(move |reason, message| on_lost.set(format!("{message} ({reason:?})")));
        // All calls are made under error scopes; what arrives here arises outside of any, and nothing after it counts.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| on_error.set(error.to_string())));
        lost
    }

    /// Of a device that is a host's: only in a browser does a handler not replace the host's own.
    #[cfg_attr(not(target_arch = "wasm32"), expect(unused_variables, reason = "elsewhere it is asked"))]
    pub(in crate::gpu) fn of_host(device: &wgpu::Device) -> Self {
        let lost = Self::default();
        #[cfg(target_arch = "wasm32")]
        {
            let on_lost = lost.clone();
            let set = move |reason, message| on_lost.set(format!("{message} ({reason:?})"));
            device.set_device_lost_callback(set);
        }
        lost
    }

    pub(in crate::gpu) fn set(&self, reason: String) {
        // The first reason is the cause.
        let _ = self.0.set(reason);
    }

    pub(in crate::gpu) fn check(&self, device: &str) -> Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(reason) => Err(Error::DeviceLost { device: device.to_owned(), reason: reason.clone() }),
        }
    }
}

/// Runs `work` and returns the first error that wgpu reports of it on this thread. A browser reports it
/// later: that is added to `pending`.
pub(in crate::gpu) fn guarded<T>(
    device: &wgpu::Device,
    name: &str,
    pending: &Pending,
    work: impl FnOnce() -> T,
) -> Result<T> {
    let scopes = [ErrorFilter::Internal, ErrorFilter::Validation, ErrorFilter::OutOfMemory]
        .map(|filter| device.push_error_scope(filter));
    let value = work();
    // The innermost scope is the last; all must be popped, whatever they hold.
    let errors = scopes.into_iter().rev().map(|scope| pending.take(scope)).collect::<Vec<_>>();
    match errors.into_iter().flatten().next() {
        None => Ok(value),
        Some(error) => Err(reported(name, error)),
    }
}

/// Whether two handles are of one device; of one that is gone this is not known.
///
/// wgpu compares handles by numbers that instances give out each for themselves, so the answer is what a
/// device does: the innermost scope of a device gets its error.
#[cfg(not(target_arch = "wasm32"))]
pub(in crate::gpu) fn is_same(one: &wgpu::Device, other: &wgpu::Device) -> bool {
    let nowhere = Pending::default();
    let outer = one.push_error_scope(ErrorFilter::Validation);
    let inner = other.push_error_scope(ErrorFilter::Validation);
    let (label, size, usage) = (None, 4, wgpu::BufferUsages::empty());
    let _ = one.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false });
    let found = nowhere.take(inner);
    nowhere.take(outer);
    found.is_some()
}

/// Whether two handles are of one device.
#[cfg(target_arch = "wasm32")]
pub(in crate::gpu) fn is_same(one: &wgpu::Device, other: &wgpu::Device) -> bool {
    one == other
}

fn reported(name: &str, error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { source } => {
            Error::DeviceMemory { device: name.to_owned(), detail: format!(": {source}") }
        }
        error => Error::Device { device: name.to_owned(), message: error.to_string() },
    }
}

/// What a device has not reported yet: in a browser, whatever calls came to; elsewhere nothing.
#[derive(Default)]
pub(in crate::gpu) struct Pending(#[cfg(target_arch = "wasm32")] std::sync::Mutex<Vec<Reported>>);

#[cfg(target_arch = "wasm32")]
type Reported = std::pin::Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Pending {
    /// Ends a scope and says what arose in it: on these backends that is known at once.
    #[expect(clippy::unused_self, reason = "the browser's keeps the scope")]
    fn take(&self, scope: wgpu::ErrorScopeGuard) -> Option<wgpu::Error> {
        let popped = pin!(scope.pop());
        match popped.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(error) => error,
            Poll::Pending => None,
        }
    }

    /// The first error of those that were pending.
    #[expect(clippy::unused_async, reason = "the browser's waits")]
    pub(in crate::gpu) async fn settle(&self, _name: &str) -> Result<()> {
        Ok(())
    }
}

#[cfg(target_arch = "wasm32")]
impl Pending {
    fn take(&self, scope: wgpu::ErrorScopeGuard) -> Option<wgpu::Error> {
        self.lock().push(Box::pin(scope.pop()));
        None
    }

    pub(in crate::gpu) async fn settle(&self, name: &str) -> Result<()> {
        let pending = std::mem::take(&mut *self.lock());
        let mut first = Ok(());
        for reported_later in pending {
            if let (Some(error), Ok(())) = (reported_later.await, &first) {
                first = Err(reported(name, error));
            }
        }
        first
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Reported>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
