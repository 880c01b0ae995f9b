//! qmill quantizes model weights: GGUF in, every ggml format out, byte for byte what llama-quantize writes.

pub mod cpu;
mod error;
pub mod format;
pub mod gguf;
pub mod mix;

pub use error::{Error, Result};
pub use format::{FORMATS, Format};
