//! Bytes to text as they come.

/// Decodes UTF-8 whose characters may be split between calls.
#[derive(Default, Debug)]
pub(super) struct Utf8Stream {
    /// The bytes of an incomplete character.
    waiting: Vec<u8>,
}

impl Utf8Stream {
    /// The text that `bytes` complete. Invalid bytes become U+FFFD.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.waiting.extend_from_slice(bytes);
        let complete = match self.waiting.utf8_chunks().last() {
            Some(last) if is_incomplete(last.invalid()) => self.waiting.len() - last.invalid().len(),
            _ => self.waiting.len(),
        };
        let rest = self.waiting.split_off(complete);
        let text = String::from_utf8_lossy(&self.waiting).into_owned();
        self.waiting = rest;
        text
    }

    /// What is left of an incomplete character, as U+FFFD.
    pub(super) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.waiting)).into_owned()
    }
}

/// Whether more bytes may complete a character that begins with `bytes`: the error then has no length.
fn is_incomplete(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
