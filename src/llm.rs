//! Runs language models: from text to text, on the CPU or a GPU, with weights in any format.
//!
//! A [`Model`] is a GGUF file loaded for a [`Device`](crate::Device); a [`Session`] is a text in the making, with what the model
//! remembers of it. Every architecture is one list of steps (`graph`), which the file's metadata decides ([`Config`]); the CPU
//! interprets the list (`ops_cpu`), a GPU prepares it once for each batch size (`engine`, `ops`).
//!
//! Known are `llama` (SmolLM2, Llama 2 and 3, Mistral, Mixtral), `qwen2`, `qwen3`, `qwen3moe` and `gemma3`. A file of another
//! architecture, or with tensors that its architecture has no use for, is refused: it would run and talk
//! nonsense. So is one with a key of rope, attention or experts that is unknown; what is known and without a
//! part in the architecture is in [`Model::warnings`].
//!
//! Text becomes tokens by the file's own [`Tokenizer`], a conversation becomes text by its [`ChatTemplate`], and a [`Sampler`]
//! chooses among what the model expects. A [`Generator`] has all this together:
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
//! println!("\n{:.1} tokens a second", answer.rate());
//! # Ok::<(), qmill::Error>(())
//! ```
//!
//! The module is a client of this crate's public API and nothing else.

mod chat;
mod config;
mod engine;
mod generate;
mod graph;
mod keys;
mod kv_cache;
mod model;
mod ops;
mod ops_cpu;
mod profile;
mod sampler;
mod session;
mod tokenizer;
mod weights;

pub use chat::{ChatTemplate, Message};
pub use config::{Activation, Config, Experts, Rope, RopeLayout, Window, Yarn};
pub use generate::{Answer, End, Generator, Token, Tokens};
pub use model::{LoadOptions, Model};
#[doc(hidden)]
pub use ops::shaders;
pub use profile::{KindTime, Phase, Profile};
pub use sampler::{REPEAT_LAST, Sampler, SamplerOptions};
pub use session::{Progress, Session};
pub use tokenizer::{TextStream, Tokenizer};
