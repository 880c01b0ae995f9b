//! Turns device errors, on which wgpu panics by default, into error values.

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

/// Why the device was lost; empty until then.
#[derive(Clone, Default, Debug)]
pub(in crate::gpu) struct Lost(Arc<OnceLock<String>>);

impl Lost {
    /// Registers handlers on a device that this crate opened. A host's device keeps the host's handlers and
    /// is probed instead (`Gpu::check_alive`).
    pub(in crate::gpu) fn of(device: &wgpu::Device) -> Self {
        let lost = Self::default();
        let (on_lost, on_error) = (lost.clone(), lost.clone());
        device
            .set_device_lost_callback(move |reason, message| on_lost.set(format!("{message} ({reason:?})")));
        // Calls run under error scopes. An error outside of any leaves the device in an unknown state, so it
        // counts as lost.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| on_error.set(error.to_string())));
        lost
    }

    /// For a host's device. Only in a browser can a handler be added without replacing the host's.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        expect(unused_variables, reason = "elsewhere the device is probed")
    )]
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

/// Runs `work` and returns the first error that wgpu reports on this thread. In a browser the report comes
/// later and is added to `pending`.
pub(in crate::gpu) fn guarded<T>(
    device: &wgpu::Device,
    name: &str,
    pending: &Pending,
    work: impl FnOnce() -> T,
) -> Result<T> {
    let scopes = [ErrorFilter::Internal, ErrorFilter::Validation, ErrorFilter::OutOfMemory]
        .map(|filter| device.push_error_scope(filter));
    let value = work();
    // The innermost scope is last. All must be popped.
    let errors = scopes.into_iter().rev().map(|scope| pending.take(scope)).collect::<Vec<_>>();
    match errors.into_iter().flatten().next() {
        None => Ok(value),
        Some(error) => Err(reported(name, error)),
    }
}

/// Whether two handles refer to the same device. Undetermined for a lost device.
///
/// wgpu compares handles by numbers that each instance assigns by itself, so they may coincide. This causes
/// an error on one handle and checks whether the other's innermost error scope received it.
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

/// Whether two handles refer to the same device.
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

/// Error reports that are still to come: the popped scopes in a browser, elsewhere none.
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
    /// Pops a scope and returns its error, which native backends know at once.
    #[expect(clippy::unused_self, reason = "in a browser it keeps the scope")]
    fn take(&self, scope: wgpu::ErrorScopeGuard) -> Option<wgpu::Error> {
        let popped = pin!(scope.pop());
        match popped.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(error) => error,
            Poll::Pending => None,
        }
    }

    /// Waits for all reports and returns the first error.
    #[expect(clippy::unused_async, reason = "in a browser it waits")]
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
