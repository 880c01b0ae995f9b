//! Sessions on a GPU: the steps of a model as ops of [`crate::gpu`] and kernels of `shaders/llm`.

mod attention;
mod buffers;
mod engine;
mod kernels;
mod kv_splits;
mod listing;
mod ops;
mod prepare;
mod profiler;
mod source;

pub(super) use engine::Engine;
pub use listing::shaders;
