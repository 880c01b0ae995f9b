//! The words that byte-pair encoding works within, by `tokenizer.ggml.pre`.

use super::unknown;
use crate::Result;
use crate::gguf::Metadata;
use regex::Regex;

/// A way to split a text into words.
struct Splitting {
    /// Its names in files.
    names: &'static [&'static str],
    /// Patterns, each of which splits the pieces that the one before left, into what it matches and what is between.
    ///
    /// Where GPT-2's patterns end in `\s+(?!\S)|\s+`, ours capture `(\s+)`, and [`Splitter::words`] does the rest: the last
    /// of several spaces goes to the word that follows.
    patterns: &'static [&'static str],
    /// Whether a word that is a token is taken as it is, whatever the merges would make of it.
    takes_whole_words: bool,
    /// Whether a text begins with the BOS token where the file does not say.
    adds_bos: bool,
}

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|(\s+)";

const SPLITTINGS: [Splitting; 5] = [
    Splitting {
        names: &["llama-bpe", "llama3", "llama-v3"],
        patterns: &[
            r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|(\s+)",
        ],
        takes_whole_words: true,
        adds_bos: true,
    },
    Splitting {
        names: &["qwen2", "deepseek-r1-qwen"],
        patterns: &[
            r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|(\s+)",
        ],
        takes_whole_words: false,
        adds_bos: false,
    },
    Splitting {
        names: &["smollm", "starcoder"],
        patterns: &[r"\p{N}", GPT_2],
        takes_whole_words: false,
        adds_bos: false,
    },
    Splitting {
        names: &["gpt-2", "phi-2", "olmo"],
        patterns: &[GPT_2],
        takes_whole_words: false,
        adds_bos: false,
    },
    Splitting {
        names: &["default"],
        patterns: &[r"[\p{P}$+<=>^~|]+", GPT_2, r"\p{N}+", r"[0-9][0-9][0-9]"],
        takes_whole_words: false,
        adds_bos: false,
    },
];

#[derive(Debug)]
pub(super) struct Splitter {
    patterns: Vec<Regex>,
    takes_whole_words: bool,
    adds_bos: bool,
}

impl Splitter {
    pub(super) fn new(metadata: &Metadata) -> Result<Self> {
        const PRE: &str = "tokenizer.ggml.pre";
        let name = metadata.str_of(PRE).unwrap_or("default");
        let Some(splitting) = SPLITTINGS.iter().find(|splitting| splitting.names.contains(&name)) else {
            let known: Vec<&str> = SPLITTINGS.iter().flat_map(|splitting| splitting.names).copied().collect();
            return Err(unknown(PRE, name, known.join(", ")));
        };
        let patterns = splitting.patterns.iter();
        let patterns =
            patterns.map(|pattern| Regex::new(pattern).expect("the patterns above are regular expressions"));
        Ok(Self {
            patterns: patterns.collect(),
            takes_whole_words: splitting.takes_whole_words,
            adds_bos: splitting.adds_bos,
        })
    }

    pub(super) fn takes_whole_words(&self) -> bool {
        self.takes_whole_words
    }

    pub(super) fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    pub(super) fn words<'a>(&self, text: &'a str) -> Vec<&'a str> {
        self.patterns.iter().fold(vec![text], |pieces, pattern| {
            pieces.into_iter().flat_map(|piece| split(pattern, piece)).collect()
        })
    }
}

/// What `pattern` matches in `text`, and what is between the matches.
fn split<'a>(pattern: &Regex, text: &'a str) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while let Some(captures) = pattern.captures_at(text, start) {
        let (matched, spaces) = (captures.get_match(), captures.get(1));
        let mut end = matched.end();
        if let Some(spaces) = spaces
            && end < text.len()
            && let Some((last, _)) = spaces.as_str().char_indices().next_back().filter(|&(last, _)| last > 0)
        {
            end = spaces.start() + last;
        }
        pieces.extend([&text[start..matched.start()], &text[matched.start()..end]]);
        start = end;
    }
    pieces.push(&text[start..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
