//! The integration tests: one program, a module per concern.

mod gguf;
mod mix;
