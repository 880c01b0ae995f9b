//! The device: choosing and opening an adapter, shared state, errors, waiting, timestamps.

pub(in crate::gpu) mod adapter;
pub(in crate::gpu) mod context;
pub(in crate::gpu) mod error;
mod open;
pub(in crate::gpu) mod options;
#[cfg(not(target_arch = "wasm32"))]
mod poller;
pub(in crate::gpu) mod self_test;
mod signal;
pub(in crate::gpu) mod software_adapter;
#[cfg(not(target_arch = "wasm32"))]
pub(in crate::gpu) mod timestamps;
pub(in crate::gpu) mod wait;
