//! How well a model predicts a text, and how far its predictions are from those of another model.
//!
//! As llama-perplexity has it: the text is cut into chunks of the context's length, each on its own; the first half of a chunk
//! is only read, and of the second half every token but the first is predicted. Perplexity is `exp(mean of -ln p)`, with p
//! the probability that the model gave the token which came.

use super::Divergence;
use crate::llm::{Model, Session};
use crate::{Error, Result};
use std::ops::ControlFlow;

/// Most bytes of logits that are held at once, of one model.
const LOGITS_BYTES: usize = 64 << 20;

/// The perplexity of a text so far.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Perplexity {
    tokens: u64,
    sum: f64,
    squares: f64,
}

/// How a text is cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunks {
    /// Tokens in a chunk.
    pub tokens: usize,
    /// Most chunks; what is left of the text is not read.
    pub limit: Option<usize>,
    /// Takes the place of the first token of each chunk, for models whose texts begin with it.
    pub bos: Option<u32>,
}

/// What is known after some chunks.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Prediction {
    /// Chunks done.
    pub chunks: usize,
    /// Chunks in all.
    pub total_chunks: usize,
    /// Of the model.
    pub perplexity: Perplexity,
    /// From the base, where there is one.
    pub divergence: Option<Divergence>,
}

impl Perplexity {
    /// Adds a token that came, and the logits that it came after; `logits` has one for each token of the vocabulary.
    ///
    /// # Panics
    ///
    /// When `token` has no logit.
    pub fn add(&mut self, logits: &[f32], token: u32) {
        self.add_surprise(-f64::from(logits[token as usize]) + log_sum(logits));
    }

    /// Adds a token by its -ln p.
    pub(super) fn add_surprise(&mut self, surprise: f64) {
        self.tokens += 1;
        self.sum += surprise;
        self.squares += surprise * surprise;
    }

    /// Tokens that were predicted.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The perplexity; not a number before the first token.
    pub fn value(&self) -> f64 {
        (self.sum / self.tokens as f64).exp()
    }

    /// Its standard error, by the spread of -ln p over tokens taken as independent.
    pub fn error(&self) -> f64 {
        let mean = self.sum / self.tokens as f64;
        let variance = self.squares / self.tokens as f64 - mean * mean;
        (variance.max(0.0) / (self.tokens as f64 - 1.0)).sqrt() * self.value()
    }
}

/// `ln Σ exp(logit)`.
pub(super) fn log_sum(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from((logit - largest).exp())).sum();
    f64::from(largest) + sum.ln()
}

/// The perplexity of `text` by `model`, and with `base` how far the predictions are from those of `base`.
///
/// `on_chunk` sees what is known after each chunk, and may break off, which fails with [`Error::Cancelled`]. Fails with
/// [`Error::Number`] for a text of less than one chunk, chunks of less than 4 tokens, no chunks, or two
/// models with different vocabularies; and as [`Session::prefill`] does. Needs the memory of a session for
/// each model, and up to 64 MiB for logits.
pub fn perplexity(
    model: &Model,
    base: Option<&Model>,
    text: &[u32],
    chunks: &Chunks,
    on_chunk: &mut dyn FnMut(&Prediction) -> ControlFlow<()>,
) -> Result<Prediction> {
    let number = |what, needed: String, found: usize| Error::Number { what, needed, found: found as u64 };
    if chunks.tokens < 4 {
        return Err(number("the length of a chunk", "at least 4".to_owned(), chunks.tokens));
    }
    if chunks.limit == Some(0) {
        return Err(number("the number of chunks", "at least 1".to_owned(), 0));
    }
    if text.len() < chunks.tokens {
        let needed = format!("at least the {} of a chunk", chunks.tokens);
        return Err(number("the number of tokens in the text", needed, text.len()));
    }
    let vocabulary = model.config().vocabulary;
    if let Some(base) = base.filter(|base| base.config().vocabulary != vocabulary) {
        let needed = format!("{vocabulary}, as in the model");
        return Err(number("the vocabulary of the base", needed, base.config().vocabulary));
    }
    let mut session = Session::new(model)?;
    let mut base = base.map(Session::new).transpose()?;
    let total_chunks = (text.len() / chunks.tokens).min(chunks.limit.unwrap_or(usize::MAX));
    let mut known = Prediction { total_chunks, ..Prediction::default() };
    known.divergence = base.is_some().then(Divergence::default);
    let rows = (LOGITS_BYTES / 4 / vocabulary.max(1)).max(16);
    for chunk in text.chunks_exact(chunks.tokens).take(total_chunks) {
        let mut chunk = chunk.to_vec();
        if let Some(bos) = chunks.bos {
            chunk[0] = bos;
        }
        let half = chunk.len() / 2;
        for session in std::iter::once(&mut session).chain(&mut base) {
            session.rewind(0)?;
            session.prefill(&chunk[..half])?;
        }
        for start in (half..chunk.len() - 1).step_by(rows) {
            let end = (start + rows).min(chunk.len() - 1);
            let logits = session.all_logits(&chunk[start..end])?;
            let base = base.as_mut().map(|base| base.all_logits(&chunk[start..end])).transpose()?;
            for (i, (row, &token)) in logits.chunks_exact(vocabulary).zip(&chunk[start + 1..]).enumerate() {
                known.perplexity.add(row, token);
                if let (Some(divergence), Some(base)) = (&mut known.divergence, &base) {
                    divergence.add(&base[i * vocabulary..(i + 1) * vocabulary], row, token);
                }
            }
        }
        known.chunks += 1;
        if on_chunk(&known).is_break() {
            return Err(Error::Cancelled);
        }
    }
    Ok(known)
}
