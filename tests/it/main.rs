//! The integration tests: one program, a module per concern.

mod formats;
mod gguf;
mod golden;
mod mix;
mod quantize_cli;
mod stream;
mod support;
