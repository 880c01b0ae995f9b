//! Tokens to text, one by one.

use super::super::utf8::Utf8Stream;
use super::vocabulary::Vocabulary;

/// Decodes tokens one by one. A token may end within a character, which then waits for the next token.
#[derive(Debug)]
pub struct TextStream<'a> {
    vocabulary: &'a Vocabulary,
    bytes: Utf8Stream,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(vocabulary: &'a Vocabulary) -> Self {
        Self { vocabulary, bytes: Utf8Stream::default() }
    }

    /// The text that `token` completes; empty for a control token and within a character. Invalid UTF-8
    /// becomes U+FFFD.
    pub fn push(&mut self, token: u32) -> String {
        self.bytes.push(self.vocabulary.bytes(token))
    }

    /// What is left of an incomplete character, as U+FFFD.
    pub fn finish(mut self) -> String {
        self.bytes.finish()
    }
}
