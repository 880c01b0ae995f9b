//! The way through a text: chunk by chunk, the first half read, the second predicted.

use crate::llm::Session;
use crate::{Error, Result};
use std::ops::Range;

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

/// The chunks of a text.
pub(super) struct Walk<'a> {
    text: &'a [u32],
    chunks: &'a Chunks,
    count: usize,
    /// Positions whose logits are computed together.
    rows: usize,
}

impl<'a> Walk<'a> {
    /// Fails with [`Error::Number`] for a text shorter than one chunk, chunks of fewer than 4 tokens, and a
    /// limit of 0.
    pub(super) fn new(text: &'a [u32], chunks: &'a Chunks, vocabulary: usize) -> Result<Self> {
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
        let count = (text.len() / chunks.tokens).min(chunks.limit.unwrap_or(usize::MAX));
        let rows = (LOGITS_BYTES / 4 / vocabulary.max(1)).max(16);
        Ok(Self { text, chunks, count, rows })
    }

    /// Number of chunks.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The chunks.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Vec<u32>> {
        self.text.chunks_exact(self.chunks.tokens).take(self.count).map(|chunk| {
            let mut chunk = chunk.to_vec();
            if let Some(bos) = self.chunks.bos {
                chunk[0] = bos;
            }
            chunk
        })
    }

    /// The tokens of a chunk whose logits are wanted, some at a time.
    pub(super) fn scored(&self, tokens: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = self.rows;
        (tokens / 2..tokens - 1).step_by(rows).map(move |start| start..(start + rows).min(tokens - 1))
    }
}

/// Starts a chunk: reads what is not predicted.
pub(super) fn read_first_half(session: &mut Session, chunk: &[u32]) -> Result<()> {
    session.rewind(0)?;
    session.prefill(&chunk[..chunk.len() / 2])
}
