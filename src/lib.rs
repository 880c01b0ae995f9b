//! qmill quantizes model weights: GGUF in, every ggml format out, byte for byte what llama-quantize writes.
//!
//! A slice of weights to the blocks of a format, and back:
//!
//! ```
//! use qmill::{Format, cpu};
//!
//! let weights: Vec<f32> = (0..512).map(|i| (i as f32 * 0.1).sin()).collect();
//! let mut blocks = vec![0; Format::Q4_K.bytes_for(512) as usize];
//! cpu::quantize(Format::Q4_K, &weights, &mut blocks)?;
//! assert_eq!(blocks.len(), 288);
//!
//! let mut decoded = vec![0.0; 512];
//! cpu::dequantize(Format::Q4_K, &blocks, &mut decoded)?;
//! assert!(weights.iter().zip(&decoded).all(|(w, d)| (w - d).abs() < 0.1));
//! # Ok::<(), qmill::Error>(())
//! ```
//!
//! A whole file is one call, [`quantize_file`].
//!
//! | module | what it holds |
//! |---|---|
//! | [`format`](mod@format) | the table of formats: how weights become bytes |
//! | [`cpu`] | the operations on slices: quantize, dequantize, dot product |
//! | [`gpu`] | the same on any GPU, with the same bytes |
//! | [`gguf`] | reading and writing GGUF files, split models too |
//! | `llm` | running language models on the CPU or a GPU (feature `llm`) |
//! | [`mix`] | which format each tensor of a file gets |
//! | [`stream`] | quantizing whole files in bounded memory |
//! | [`bench`](mod@bench) | how fast an operation is, beside what the device can do at best; how fast a model is |
//!
//! The program and its dependencies are left out by `default-features = false`; the backends of wgpu are then
//! the features `vulkan`, `metal` and `dx12`. Formats are slow without optimization: a debug build wants
//!
//! ```toml
//! [profile.dev.package.qmill]
//! opt-level = 3
//! ```
//!
//! `ARCHITECTURE.md` in the repository defines the words and says why the bytes are exact.

#![cfg_attr(
    target_arch = "wasm32",
    expect(dead_code, unused_imports, reason = "a browser has no files, and nothing that blocks")
)]

#[cfg(not(target_arch = "wasm32"))]
pub mod bench;
pub mod cpu;
mod device;
mod error;
pub mod eval;
pub mod format;
pub mod gguf;
pub mod gpu;
#[cfg(feature = "llm")]
pub mod llm;
pub mod mix;
#[cfg(not(target_arch = "wasm32"))]
pub mod stream;
#[cfg(feature = "llm")]
mod threads;

pub use device::Device;
pub use error::{Error, Result};
pub use format::{FORMATS, Format};
pub use gpu::Gpu;
pub use half;
#[cfg(not(target_arch = "wasm32"))]
pub use stream::quantize_file;
pub use wgpu;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
