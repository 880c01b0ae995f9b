//! Text to tokens and back, as llama.cpp's tokenizers do for the same file.
//!
//! A tokenizer is read from the metadata of a GGUF file (`tokenizer.ggml.*`). Two kinds are known:
//!
//! - `gpt2`, byte-level byte-pair encoding: the text is split into words by the patterns that `tokenizer.ggml.pre` names,
//!   and within a word neighbouring bytes are joined in the order of a list of merges;
//! - `llama`, SentencePiece: without words; neighbouring characters are joined to the token with the best score, and what is
//!   no token becomes bytes.
//!
//! Special tokens such as `<|im_end|>` are found in the text first. Refused are kinds and patterns not known here
//! ([`Error::Unsupported`]).

mod byte_pair;
mod merge;
mod sentence_piece;
mod split;
mod stream;
mod vocabulary;

pub use stream::TextStream;
pub(super) use stream::Utf8Stream;

use crate::gguf::Metadata;
use crate::{Error, Result};
use aho_corasick::{AhoCorasick, MatchKind};
use byte_pair::BytePair;
use sentence_piece::SentencePiece;
use split::Splitter;
use vocabulary::{Kind, Vocabulary};

/// A model's tokenizer. Immutable: threads may share it.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    method: Method,
    /// All special tokens, and those of them that are plain text too.
    special: Finder,
    user_defined: Finder,
    bos: Option<u32>,
    eos: Option<u32>,
    adds_bos: bool,
    adds_eos: bool,
    /// The tokens that end an answer.
    ends: Vec<u32>,
}

#[derive(Debug)]
enum Method {
    BytePair(BytePair),
    SentencePiece(SentencePiece),
}

/// Texts of tokens that end an answer, whatever the file says; llama.cpp goes by them too.
const ENDS: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

impl Tokenizer {
    /// Reads the tokenizer of a model from its metadata.
    ///
    /// Fails with [`Error::Unsupported`] for a kind or a splitting that qmill does not have, and with [`Error::MetadataKey`] where
    /// a key is missing or is not what it should be. Takes some 100 ms for 250,000 tokens.
    pub fn new(metadata: &Metadata) -> Result<Self> {
        let model = metadata.str_of("tokenizer.ggml.model").unwrap_or("missing");
        let byte_level = match model {
            "gpt2" => true,
            "llama" => false,
            _ => return Err(unknown("tokenizer.ggml.model", model, "gpt2, llama".to_owned())),
        };
        let vocabulary = Vocabulary::new(metadata, byte_level, &ENDS)?;
        let token_at = |key: &'static str, default: Option<u32>| match metadata.u64_of(key) {
            None => Ok(default.filter(|&id| (id as usize) < vocabulary.len())),
            Some(id) if id < vocabulary.len() as u64 => Ok(Some(id as u32)),
            Some(_) => Err(bad_key(key, "the number of a token")),
        };
        // SentencePiece's own numbers hold where a file gives none.
        let own = |id| (!byte_level).then_some(id);
        let unknown_token = token_at("tokenizer.ggml.unknown_token_id", own(0))?;
        let bos = token_at("tokenizer.ggml.bos_token_id", own(1))?;
        let eos = token_at("tokenizer.ggml.eos_token_id", own(2))?;
        let (method, bos_by_default) = if byte_level {
            let splitter = Splitter::new(metadata)?;
            let bos_by_default = splitter.adds_bos();
            (Method::BytePair(BytePair::new(metadata, &vocabulary, splitter)?), bos_by_default)
        } else {
            (Method::SentencePiece(SentencePiece::new(metadata, &vocabulary, unknown_token)?), true)
        };
        let adds = |key: &'static str, default, token: Option<u32>, id_key| {
            let adds = metadata.bool_of(key).unwrap_or(default);
            match token {
                None if adds => Err(bad_key(id_key, "there, as a text is to have that token")),
                _ => Ok(adds),
            }
        };
        let (bos_key, eos_key) = ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id");
        let adds_bos = adds("tokenizer.ggml.add_bos_token", bos_by_default, bos, bos_key)?;
        let adds_eos = adds("tokenizer.ggml.add_eos_token", false, eos, eos_key)?;

        let mut ends: Vec<u32> = ENDS.iter().filter_map(|text| vocabulary.find(text.as_bytes())).collect();
        ends.extend(eos);
        for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            ends.extend(token_at(key, None)?);
        }
        Ok(Self {
            special: Finder::new(&vocabulary, &[Kind::Control, Kind::Unknown, Kind::UserDefined])?,
            user_defined: Finder::new(&vocabulary, &[Kind::UserDefined])?,
            vocabulary,
            method,
            bos,
            eos,
            adds_bos,
            adds_eos,
            ends,
        })
    }

    /// The tokens of `text`, in which the texts of special tokens stand for these. Nothing is put before or after.
    ///
    /// Bytes that the vocabulary has no token for are left out, as llama.cpp does; few vocabularies lack any.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_around(&self.special, text)
    }

    /// The tokens of `text`, in which control tokens are text like any other: for text that is not to be trusted.
    pub fn encode_plain(&self, text: &str) -> Vec<u32> {
        self.encode_around(&self.user_defined, text)
    }

    /// What the model is to be given for the prompt `text`: [`encode`](Self::encode), with the token that begins a text before
    /// it, and the token that ends one after it, where the model wants them and they are not there.
    pub fn prompt(&self, text: &str) -> Vec<u32> {
        let mut tokens = self.encode(text);
        if self.adds_bos && tokens.first() != self.bos.as_ref() {
            tokens.splice(0..0, self.bos);
        }
        if self.adds_eos && tokens.last() != self.eos.as_ref() {
            tokens.extend(self.eos);
        }
        tokens
    }

    fn encode_around(&self, special: &Finder, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut start = 0;
        // A text begins as if after a special token.
        let mut after_special = true;
        for (place, token) in special.find_in(text) {
            self.encode_text(&text[start..place.start], after_special, &mut tokens);
            tokens.push(token);
            (start, after_special) = (place.end, true);
        }
        self.encode_text(&text[start..], after_special, &mut tokens);
        tokens
    }

    fn encode_text(&self, text: &str, after_special: bool, tokens: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        match &self.method {
            Method::BytePair(method) => method.encode(&self.vocabulary, text, tokens),
            Method::SentencePiece(method) => method.encode(&self.vocabulary, text, after_special, tokens),
        }
    }

    /// The text of `tokens`. Control tokens, and numbers that are no token, have none; bytes that are no UTF-8 become U+FFFD.
    ///
    /// The space that SentencePiece puts before a text is taken off again.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut stream = self.stream();
        let mut text: String = tokens.iter().map(|&token| stream.push(token)).collect();
        text.push_str(&stream.finish());
        match &self.method {
            Method::SentencePiece(method) if method.adds_space() && text.starts_with(' ') => {
                text.split_off(1)
            }
            _ => text,
        }
    }

    /// Turns tokens into text one by one, as a model makes them.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(self)
    }

    /// The bytes that `token` stands for, which may end within a character; none for a control token.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.vocabulary.bytes(token)
    }

    /// The text of the token itself, as `<|im_end|>`, of any kind.
    pub fn name(&self, token: u32) -> String {
        String::from_utf8_lossy(self.vocabulary.name(token)).into_owned()
    }

    /// Whether an answer ends with `token`.
    pub fn ends(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Whether every text begins with [`bos`](Self::bos).
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.vocabulary.len()
    }

    /// Whether there are no tokens; never.
    pub fn is_empty(&self) -> bool {
        self.vocabulary.len() == 0
    }
}

/// Finds special tokens in a text, the leftmost first and there the longest.
#[derive(Debug)]
struct Finder {
    texts: AhoCorasick,
    tokens: Vec<u32>,
}

impl Finder {
    fn new(vocabulary: &Vocabulary, kinds: &[Kind]) -> Result<Self> {
        let tokens: Vec<u32> = vocabulary.of_kinds(kinds).collect();
        let texts = tokens.iter().map(|&token| vocabulary.name(token));
        let texts = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts);
        let texts =
            texts.map_err(|_| bad_key("tokenizer.ggml.tokens", "a gigabyte of special tokens at most"))?;
        Ok(Self { texts, tokens })
    }

    fn find_in(&self, text: &str) -> impl Iterator<Item = (std::ops::Range<usize>, u32)> {
        self.texts.find_iter(text).map(|found| (found.range(), self.tokens[found.pattern().as_usize()]))
    }
}

fn unknown(what: &'static str, found: &str, known: String) -> Error {
    Error::Unsupported { what, found: found.to_owned(), known }
}

fn bad_key(key: &str, needed: &'static str) -> Error {
    Error::MetadataKey { key: key.to_owned(), needed }
}
