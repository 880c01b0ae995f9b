//! Special tokens in a text.

use super::errors::bad_key;
use super::vocabulary::{Kind, Vocabulary};
use crate::Result;
use aho_corasick::AhoCorasick;
use std::cmp::Reverse;
use std::ops::Range;

/// Finds special tokens in a text: longer ones first, wherever they are; of equally long ones the smaller
/// number first; of one token the leftmost occurrence first.
#[derive(Debug)]
pub(super) struct Finder {
    texts: AhoCorasick,
    tokens: Vec<u32>,
    /// For each token, whether it takes the white space after it, as in Phi-3.
    eats_spaces: Vec<bool>,
}

impl Finder {
    pub(super) fn new(vocabulary: &Vocabulary, kinds: &[Kind], eats_spaces: bool) -> Result<Self> {
        const EAT_NOTHING: [&str; 3] = ["<unk>", "<s>", "<|endoftext|>"];
        let tokens: Vec<u32> = vocabulary.of_kinds(kinds).collect();
        let names = tokens.iter().map(|&token| vocabulary.name(token));
        let eats = |name: &[u8]| eats_spaces && EAT_NOTHING.iter().all(|text| text.as_bytes() != name);
        let eats_spaces = names.clone().map(eats).collect();
        let texts = AhoCorasick::new(names);
        let texts =
            texts.map_err(|_| bad_key("tokenizer.ggml.tokens", "a gigabyte of special tokens at most"))?;
        Ok(Self { texts, tokens, eats_spaces })
    }

    /// The tokens with their ranges in `text`, from left to right. Takes time for every occurrence,
    /// overlapping ones included.
    pub(super) fn find_in(&self, text: &str) -> Vec<(Range<usize>, u32)> {
        let mut matches: Vec<(Range<usize>, usize)> = self
            .texts
            .find_overlapping_iter(text)
            .map(|found| (found.range(), found.pattern().as_usize()))
            .collect();
        matches.sort_by_key(|(range, token)| (Reverse(range.len()), *token, range.start));
        // What is taken is at least as long as what comes later, so an overlap covers one of its ends.
        let mut is_taken = vec![false; if matches.is_empty() { 0 } else { text.len() }];
        matches.retain_mut(|(range, token)| {
            if is_taken[range.start] || is_taken[range.end - 1] {
                return false;
            }
            if self.eats_spaces[*token] {
                let after = text.as_bytes()[range.end..].iter().zip(&is_taken[range.end..]);
                range.end += after.take_while(|(byte, taken)| is_space(**byte) && !**taken).count();
            }
            is_taken[range.clone()].fill(true);
            true
        });
        matches.sort_by_key(|(range, _)| range.start);
        matches.into_iter().map(|(range, token)| (range, self.tokens[token])).collect()
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0B
}
