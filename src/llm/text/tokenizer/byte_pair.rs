//! Byte-level byte-pair encoding, after Sennrich and others, 2016, and GPT-2.

use super::errors::bad_key;
use super::merge::{Part, merge};
use super::split::Splitter;
use super::vocabulary::{Vocabulary, spelt};
use crate::Result;
use crate::gguf::Metadata;
use std::collections::HashMap;

#[derive(Debug)]
pub(super) struct BytePair {
    splitter: Splitter,
    /// For two neighbouring tokens, the rank of their merge and the merged token.
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// The token of each byte.
    bytes: Vec<Option<u32>>,
}

impl BytePair {
    pub(super) fn new(metadata: &Metadata, vocabulary: &Vocabulary, splitter: Splitter) -> Result<Self> {
        const MERGES: &str = "tokenizer.ggml.merges";
        let list = metadata.array_of(MERGES).and_then(|array| array.strings());
        let list = list.ok_or_else(|| bad_key(MERGES, "an array of strings"))?;
        let mut merges = HashMap::new();
        for (rank, merge) in (0..).zip(list) {
            // The second part may begin with a space. Pairs of which a part is no token cannot occur.
            let Some(space) = merge.iter().skip(1).position(|&byte| byte == b' ') else {
                return Err(bad_key(MERGES, "pairs with a space between the two"));
            };
            let (left, right) = (spelt(&merge[..=space]), spelt(&merge[space + 2..]));
            let tokens =
                (vocabulary.find(&left), vocabulary.find(&right), vocabulary.find(&[left, right].concat()));
            if let (Some(left), Some(right), Some(both)) = tokens {
                merges.entry((left, right)).or_insert((rank, both));
            }
        }
        let bytes = (0..=u8::MAX).map(|byte| vocabulary.find(&[byte])).collect();
        Ok(Self { splitter, merges, bytes })
    }

    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, tokens: &mut Vec<u32>) {
        for word in self.splitter.words(text) {
            let word = word.as_bytes();
            if self.splitter.takes_whole_words()
                && let Some(token) = vocabulary.find(word)
            {
                tokens.push(token);
                continue;
            }
            let parts = word.iter().enumerate();
            let parts =
                parts.map(|(i, &byte)| Part { start: i, end: i + 1, token: self.bytes[byte as usize] });
            let mut parts: Vec<Part> = parts.collect();
            merge(&mut parts, |left, right| self.merges.get(&(left.token?, right.token?)).copied());
            tokens.extend(parts.iter().filter_map(|part| part.token));
        }
    }
}
