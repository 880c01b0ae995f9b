//! Runs language models on the CPU or a GPU, with weights in any format.
//!
//! A [`Model`] is a GGUF file loaded for a [`Device`](crate::Device). A [`Session`] is one text: its KV cache
//! and the logits after its last token. The metadata of the file decides the model's shape ([`Config`]), and
//! the shape decides a list of steps, the same for all architectures (`graph`). The CPU interprets the list
//! (`cpu`); a GPU prepares it as ops, once for each batch size (`gpu`).
//!
//! The architectures are `llama` (SmolLM2, Llama 2 and 3, Mistral, Mixtral), `qwen2`, `qwen3`, `qwen3moe` and
//! `gemma3`. Loading fails for another architecture, for tensors that the architecture does not use, and for
//! an unknown key of rope, attention or experts: such a model would generate nonsense. Known keys without
//! effect in the architecture are in [`Model::warnings`].
//!
//! The file's own [`Tokenizer`] turns text into tokens, its [`ChatTemplate`] turns a conversation into text,
//! and a [`Sampler`] chooses tokens by their logits. A [`Generator`] combines them:
//!
//! ```no_run
//! use qmill::llm::{Generator, LoadOptions, Model, SamplerOptions, Session, Tokenizer};
//! use std::ops::ControlFlow;
//!
//! let model = Model::load("model.gguf", &LoadOptions::default())?;
//! let tokenizer = Tokenizer::new(model.metadata())?;
//! let prompt = tokenizer.prompt("Once upon a time");
//! let mut generator = Generator::new(Session::new(&model)?, tokenizer, SamplerOptions::default())?;
//! let answer = generator.answer(&prompt, 100, &mut |text| {
//!     print!("{text}");
//!     ControlFlow::Continue(())
//! })?;
//! println!("\n{:.1} tokens per second", answer.rate());
//! # Ok::<(), qmill::Error>(())
//! ```
//!
//! Apart from a helper for threads, the module uses only this crate's public API.

mod architectures;
mod config;
mod cpu;
mod gpu;
mod graph;
mod keys;
mod kv_cache;
mod model;
mod options;
mod profile;
mod progress;
mod reader;
mod rope;
mod session;
mod shared;
mod steps;
mod text;
mod weights;

pub use architectures::{Activation, RopeLayout};
pub use config::{Config, Experts, Window};
#[doc(hidden)]
pub use gpu::shaders;
pub use model::Model;
pub use options::LoadOptions;
pub use profile::{KindTime, Phase, Profile};
pub use progress::Progress;
pub use rope::{Rope, Yarn};
pub use session::Session;
pub use text::chat::{ChatTemplate, Message};
pub use text::generate::{Answer, End, Generator, Token, Tokens};
pub use text::sampler::{REPEAT_LAST, Sampler, SamplerOptions};
pub use text::tokenizer::{TextStream, Tokenizer};
