//! Text around a model: tokens, conversations, sampling, and generation.

pub(super) mod chat;
pub(super) mod generate;
pub(super) mod sampler;
pub(super) mod tokenizer;
mod utf8;
