//! Language models: from prompt to text.

mod chat;
mod sampler;
mod tokenizer;

pub use chat::{ChatTemplate, Message};
pub use sampler::{REPEAT_LAST, Sampler, SamplerOptions};
pub use tokenizer::{TextStream, Tokenizer};
