//! Tokens to text one by one.

use super::Tokenizer;

/// Turns tokens into text as they come. A token may end within a character, which then waits for the next.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    bytes: Utf8Stream,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, bytes: Utf8Stream::default() }
    }

    /// The text that is complete with `token`; empty for a control token and within a character. Bytes that are no UTF-8
    /// become U+FFFD.
    pub fn push(&mut self, token: u32) -> String {
        self.bytes.push(self.tokenizer.bytes(token))
    }

    /// What was still waiting, as U+FFFD.
    pub fn finish(mut self) -> String {
        self.bytes.finish()
    }
}

/// Bytes to text as they come.
#[derive(Default, Debug)]
pub(in super::super) struct Utf8Stream {
    /// The beginning of a character.
    waiting: Vec<u8>,
}

impl Utf8Stream {
    /// The text that is complete with `bytes`.
    pub(in super::super) fn push(&mut self, bytes: &[u8]) -> String {
        self.waiting.extend_from_slice(bytes);
        // An error without a length is a character that goes on.
        let complete = match self.waiting.utf8_chunks().last() {
            Some(last) if is_unfinished(last.invalid()) => self.waiting.len() - last.invalid().len(),
            _ => self.waiting.len(),
        };
        let rest = self.waiting.split_off(complete);
        let text = String::from_utf8_lossy(&self.waiting).into_owned();
        self.waiting = rest;
        text
    }

    /// What was still waiting, as U+FFFD.
    pub(in super::super) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.waiting)).into_owned()
    }
}

/// Whether these bytes are the beginning of a character that more bytes may complete.
fn is_unfinished(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
