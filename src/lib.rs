//! qmill quantizes model weights: GGUF in, every ggml format out, byte for byte what llama-quantize writes.

pub mod cpu;
mod error;
pub mod eval;
pub mod format;
pub mod gguf;
pub mod mix;
pub mod stream;

pub use error::{Error, Result};
pub use format::{FORMATS, Format};
pub use stream::quantize_file;
