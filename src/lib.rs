//! qmill quantizes model weights: GGUF in, every ggml format out, byte for byte as llama-quantize.
//!
//! Encode a slice of weights as blocks of a format, and decode it again:
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
//! [`quantize_file`] converts a whole file in one call.
//!
//! | module | what it holds |
//! |---|---|
//! | [`error`](mod@error) | everything that can go wrong |
//! | [`eval`] | what quantizing costs: the difference between two models |
//! | [`fit`] | the best types for a file of some size |
//! | [`format`](mod@format) | the table of formats: how weights become bytes |
//! | [`cpu`] | the operations on slices: quantize, dequantize, dot product |
//! | [`gpu`] | the same operations on a GPU, byte for byte; matrices that stay quantized |
//! | [`gguf`] | reading and writing GGUF files, including split models |
//! | `llm` | running language models on the CPU or a GPU (feature `llm`) |
//! | [`mix`] | which format each tensor of a file gets |
//! | [`stream`] | quantizing whole files in bounded memory |
//! | `report` | what a model costs in several types, as tables, JSON and pictures (feature `report`) |
//! | [`bench`](mod@bench) | the speed of operations, compared with the device's peaks, and of models |
//!
//! `default-features = false` leaves out the command line program and its dependencies; then enable the wgpu
//! backends you need with the features `vulkan`, `metal` and `dx12`. The format code is slow without
//! optimization. To optimize it in debug builds:
//!
//! ```toml
//! [profile.dev.package.qmill]
//! opt-level = 3
//! ```
//!
//! `ARCHITECTURE.md` in the repository has a glossary and explains why the bytes are exact.

#![cfg_attr(
    target_arch = "wasm32",
    expect(dead_code, unused_imports, reason = "a browser has no files, and nothing that blocks")
)]

#[cfg(not(target_arch = "wasm32"))]
pub mod bench;
pub mod cpu;
mod device;
pub mod error;
pub mod eval;
#[cfg(not(target_arch = "wasm32"))]
pub mod fit;
pub mod format;
pub mod gguf;
pub mod gpu;
#[cfg(all(feature = "hf", not(target_arch = "wasm32")))]
mod hf;
#[cfg(feature = "llm")]
pub mod llm;
pub mod mix;
#[cfg(all(feature = "report", not(target_arch = "wasm32")))]
pub mod report;
#[cfg(not(target_arch = "wasm32"))]
pub mod stream;
#[cfg(not(target_arch = "wasm32"))]
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
