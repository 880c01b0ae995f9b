//! Tokens to text one by one.

use super::Tokenizer;

/// Turns tokens into text as they come. A token may end within a character, which then waits for the next.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// The beginning of a character.
    waiting: Vec<u8>,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, waiting: Vec::new() }
    }

    /// The text that is complete with `token`; empty for a control token and within a character. Bytes that are no UTF-8
    /// become U+FFFD.
    pub fn push(&mut self, token: u32) -> String {
        self.waiting.extend_from_slice(self.tokenizer.bytes(token));
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
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.waiting).into_owned()
    }
}

/// Whether these bytes are the beginning of a character that more bytes may complete.
fn is_unfinished(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
