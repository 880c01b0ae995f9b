//! The integration tests: one program, a module per concern.

mod formats;
mod gguf;
mod golden;
mod mix;
mod stream;
mod support;
