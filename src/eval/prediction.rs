//! How well a model predicts a text, and how far its predictions are from those of another model.
//!
//! As in llama-perplexity, the text is cut into chunks of the context's length, each evaluated on its own.
//! The first half of a chunk is only read. In the second half, every token but the first is predicted.

use super::{Divergence, Perplexity};
use crate::llm::{Model, Session};
use crate::{Error, Result};
use std::ops::ControlFlow;

/// The most bytes of logits that are held at a time, for one model.
const LOGITS_BYTES: usize = 64 << 20;

/// How a text is cut into chunks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunks {
    /// Tokens in a chunk, at least 4.
    pub tokens: usize,
    /// The most chunks to evaluate; the rest of the text is not read.
    pub limit: Option<usize>,
    /// The token that replaces the first one of each chunk, for models whose texts begin with it.
    pub bos: Option<u32>,
}

/// The measures after some chunks.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Prediction {
    /// Chunks evaluated so far.
    pub chunks: usize,
    /// Chunks to evaluate.
    pub total_chunks: usize,
    /// The perplexity of the model.
    pub perplexity: Perplexity,
    /// The divergence from the base, if there is one.
    pub divergence: Option<Divergence>,
}

/// The perplexity of `model` on `text` and, with `base`, the divergence of its predictions from those of
/// `base`.
///
/// `on_chunk` receives the measures after each chunk; [`ControlFlow::Break`] stops with [`Error::Cancelled`].
/// Needs the memory of a session for each model, and up to 64 MiB for the logits of each.
///
/// Fails with [`Error::Number`] for a text shorter than one chunk, chunks of fewer than 4 tokens, a limit of
/// 0, or models with different vocabularies, and with the errors of [`Session::prefill`].
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
