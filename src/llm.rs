//! Runs language models: from token numbers to logits, on the CPU or a GPU, with weights in any format.
//!
//! A [`Model`] is a GGUF file loaded for a [`Device`](crate::Device); a [`Session`] is a text in the making, with what the model
//! remembers of it. Every architecture is one list of steps (`graph`), which the file's metadata decides ([`Config`]); the CPU
//! interprets the list (`ops_cpu`), a GPU prepares it once for each batch size (`engine`, `ops`).
//!
//! Known are `llama` (SmolLM2, Llama 2 and 3, Mistral, Mixtral), `qwen2`, `qwen3`, `qwen3moe` and `gemma3`. A file of another
//! architecture, or with tensors that its architecture has no use for, is refused: it would run and talk nonsense.
//!
//! ```no_run
//! use qmill::llm::{LoadOptions, Model, Session};
//!
//! let model = Model::load("model.gguf", &LoadOptions::default())?;
//! let mut session = Session::new(&model)?;
//! session.prefill(&[1, 2, 3])?;
//! println!("{} logits after {} tokens", session.logits().len(), session.position());
//! # Ok::<(), qmill::Error>(())
//! ```
//!
//! The module is a client of this crate's public API and nothing else.

mod config;
mod engine;
mod graph;
mod kv_cache;
mod model;
mod ops;
mod ops_cpu;
mod session;
mod weights;

pub use config::{Activation, Config, Experts, Rope, RopeLayout, Window};
pub use model::{LoadOptions, Model};
pub use session::Session;
