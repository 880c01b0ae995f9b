//! SentencePiece, after Kudo and Richardson, 2018, as Llama 2 and Gemma use it.

use super::errors::bad_key;
use super::merge::{Part, merge};
use super::vocabulary::{SPACE, Vocabulary};
use crate::Result;
use crate::gguf::Metadata;

#[derive(Debug)]
pub(super) struct SentencePiece {
    /// The rank of each token's score, 0 for the best.
    ranks: Vec<u32>,
    /// The token of each byte.
    bytes: Vec<Option<u32>>,
    /// Whether a space is added at the start of a text.
    adds_space: bool,
}

impl SentencePiece {
    /// Bytes without a token become `unknown`.
    pub(super) fn new(metadata: &Metadata, vocabulary: &Vocabulary, unknown: Option<u32>) -> Result<Self> {
        const SCORES: &str = "tokenizer.ggml.scores";
        let scores: Vec<f64> = metadata
            .array_of(SCORES)
            .map(|array| array.iter().filter_map(|score| score.as_f64()).collect())
            .unwrap_or_default();
        if scores.len() < vocabulary.len() {
            return Err(bad_key(SCORES, "a float for each token"));
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut ranks = vec![0; scores.len()];
        let mut rank = 0;
        for pair in order.windows(2) {
            rank += u32::from(scores[pair[0]] != scores[pair[1]]);
            ranks[pair[1]] = rank;
        }
        let byte = |byte: u8| {
            vocabulary
                .find(format!("<0x{byte:02X}>").as_bytes())
                .or_else(|| vocabulary.find(&[byte]))
                .or(unknown)
        };
        let bytes = (0..=u8::MAX).map(byte).collect();
        let adds_space = metadata.bool_of("tokenizer.ggml.add_space_prefix").unwrap_or(true);
        Ok(Self { ranks, bytes, adds_space })
    }

    pub(super) fn adds_space(&self) -> bool {
        self.adds_space
    }

    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        after_special: bool,
        tokens: &mut Vec<u32>,
    ) {
        let prefix = if self.adds_space && after_special { SPACE } else { "" };
        let text = prefix.to_owned() + &text.replace(' ', SPACE);
        let find = |start: usize, end: usize| vocabulary.find(&text.as_bytes()[start..end]);
        let parts = text.char_indices().map(|(start, character)| (start, start + character.len_utf8()));
        let mut parts: Vec<Part> =
            parts.map(|(start, end)| Part { start, end, token: find(start, end) }).collect();
        merge(&mut parts, |left, right| {
            let token = find(left.start, right.end)?;
            Some((self.ranks[token as usize], token))
        });
        for part in parts {
            let bytes = &text.as_bytes()[part.start..part.end];
            match part.token {
                Some(token) => tokens.push(token),
                None => tokens.extend(bytes.iter().filter_map(|&byte| self.bytes[byte as usize])),
            }
        }
    }
}
