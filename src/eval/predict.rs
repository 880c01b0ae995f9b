//! How well a model predicts a text, and how far its predictions are from those of another model.
//!
//! As in llama-perplexity, the text is cut into chunks of the context's length, each evaluated on its own.
//! The first half of a chunk is only read. In the second half, every token but the first is predicted.

use super::position::Position;
use super::prediction::Prediction;
use super::walk::{Chunks, Walk, read_first_half};
use super::{BaseLogits, Divergence};
use crate::llm::{Model, Session};
use crate::{Error, Result};
use std::ops::ControlFlow;

/// What a model's predictions are compared with.
#[derive(Clone, Copy)]
pub enum Base<'a> {
    /// Those of a model, which is evaluated too.
    Model(&'a Model),
    /// Those that were kept. The text and the chunks must be those that they were made for; see
    /// [`BaseLogits::check`].
    Kept(&'a BaseLogits),
}

impl Base<'_> {
    fn vocabulary(&self) -> usize {
        match self {
            Self::Model(model) => model.config().vocabulary,
            Self::Kept(kept) => kept.key().vocabulary,
        }
    }
}

/// The perplexity of `model` on `text` and, with `base`, the divergence of its predictions from those of
/// `base`.
///
/// The figures are the same whether the base's predictions were kept or are computed now: either way the
/// divergence is computed from logits rounded as [`BaseLogits`] keeps them.
///
/// `on_chunk` receives the measures after each chunk; [`ControlFlow::Break`] stops with [`Error::Cancelled`].
/// Needs the memory of a session for each model, and up to 64 MiB for the logits of each.
///
/// Fails with [`Error::Number`] for a text shorter than one chunk, chunks of fewer than 4 tokens, a limit of
/// 0, models with different vocabularies, or a base that was kept for another number of chunks; and with the
/// errors of [`Session::prefill`] and of reading a file.
pub fn perplexity(
    model: &Model,
    base: Option<Base<'_>>,
    text: &[u32],
    chunks: &Chunks,
    on_chunk: &mut dyn FnMut(&Prediction) -> ControlFlow<()>,
) -> Result<Prediction> {
    let vocabulary = model.config().vocabulary;
    let walk = Walk::new(text, chunks, vocabulary)?;
    let number = |what, needed: String, found: usize| Error::Number { what, needed, found: found as u64 };
    if let Some(base) = base.filter(|base| base.vocabulary() != vocabulary) {
        let needed = format!("{vocabulary}, as in the model");
        return Err(number("the vocabulary of the base", needed, base.vocabulary()));
    }
    if let Some(Base::Kept(kept)) = base {
        let key = kept.key();
        for (what, kept, needed) in [
            ("the length of a chunk of the base", key.chunk_tokens, chunks.tokens),
            ("the number of chunks of the base", key.chunks, walk.count()),
        ] {
            if kept != needed {
                return Err(number(what, format!("{needed}, as here"), kept));
            }
        }
    }
    let mut session = Session::new(model)?;
    let mut beside = match base {
        None => None,
        Some(Base::Kept(kept)) => Some(Beside::Kept(kept, Vec::new())),
        Some(Base::Model(model)) => Some(Beside::Session(Box::new(Session::new(model)?), Vec::new())),
    };
    let mut known = Prediction { total_chunks: walk.count(), ..Prediction::default() };
    known.divergence = base.is_some().then(Divergence::default);
    let mut position = Position::default();
    for (number, chunk) in walk.chunks().enumerate() {
        read_first_half(&mut session, &chunk)?;
        if let Some(Beside::Session(session, _)) = &mut beside {
            read_first_half(session, &chunk)?;
        }
        for range in walk.scored(chunk.len()) {
            let logits = session.all_logits(&chunk[range.clone()])?;
            if let Some(Beside::Session(session, base)) = &mut beside {
                *base = session.all_logits(&chunk[range.clone()])?;
            }
            let rows = logits.chunks_exact(vocabulary).zip(&chunk[range.start + 1..]).enumerate();
            for (i, (row, &token)) in rows {
                known.perplexity.add(row, token);
                match &mut beside {
                    None => continue,
                    Some(Beside::Session(_, base)) => {
                        position = Position::of(&base[i * vocabulary..(i + 1) * vocabulary], token);
                    }
                    Some(Beside::Kept(kept, bytes)) => {
                        kept.read(number, range.start - chunk.len() / 2 + i, bytes, &mut position)?;
                    }
                }
                if let Some(divergence) = &mut known.divergence {
                    divergence.add_position(&position, row, token);
                }
            }
        }
        known.chunks += 1;
        if let Some(divergence) = &mut known.divergence {
            divergence.end_chunk();
        }
        if on_chunk(&known).is_break() {
            return Err(Error::Cancelled);
        }
    }
    Ok(known)
}

/// Where the base's predictions come from, with scratch memory.
enum Beside<'a> {
    Kept(&'a BaseLogits, Vec<u8>),
    /// The logits are those of the last range.
    Session(Box<Session>, Vec<f32>),
}
