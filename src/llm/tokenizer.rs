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
use aho_corasick::AhoCorasick;
use byte_pair::BytePair;
use sentence_piece::SentencePiece;
use split::Splitter;
use std::cmp::Reverse;
use std::ops::Range;
use vocabulary::{Kind, Vocabulary};

const BOS: &str = "tokenizer.ggml.bos_token_id";
const EOS: &str = "tokenizer.ggml.eos_token_id";

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
    warnings: Vec<String>,
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
    END,
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    LLAMA_END,
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    TOOL_RESPONSE,
    "<｜end▁of▁sentence｜>",
    "[e~[",
];
const END: &str = "<|end|>";
const LLAMA_END: &str = "</s>";
const TOOL_RESPONSE: &str = "<|tool_response>";

/// Tokens of models that fill a text in the middle, which end an answer too: a key that names one, and texts
/// of which the first that is a token counts where the key is not there.
const FILL_ENDS: [(&str, &[&str]); 3] = [
    ("tokenizer.ggml.fim_pad_token_id", &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]),
    (
        "tokenizer.ggml.fim_rep_token_id",
        &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
    ),
    ("tokenizer.ggml.fim_sep_token_id", &["<|file_sep|>"]),
];

/// Of gpt-oss, whose answers have parts that begin with these, and end with [`END`], which does not end an
/// answer there: text that is shown.
const HARMONY: [&str; 5] = ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", END];
/// The tokens of which one pair makes a model one of those.
const HARMONY_ENDS: [[&str; 2]; 2] = [["<|return|>", "<|call|>"], ["<|flush|>", "<|calls|>"]];

impl Tokenizer {
    /// Reads the tokenizer of a model from its metadata.
    ///
    /// A special token's number that is past the vocabulary is ignored with one of
    /// [`warnings`](Self::warnings). Fails with [`Error::Unsupported`] for a kind or a splitting that qmill
    /// does not have, and with [`Error::MetadataKey`] where a key is missing or is not what it should be.
    /// Takes some 100 ms for 250,000 tokens.
    pub fn new(metadata: &Metadata) -> Result<Self> {
        let model = metadata.str_of("tokenizer.ggml.model").unwrap_or("missing");
        let byte_level = match model {
            "gpt2" => true,
            "llama" => false,
            _ => return Err(unknown("tokenizer.ggml.model", model, "gpt2, llama".to_owned())),
        };
        let vocabulary = Vocabulary::new(metadata, byte_level, kind_by_name)?;
        let mut warnings = Vec::new();
        let mut token_at = |key: &str, default: Option<u32>| {
            let is_token = |id: u64| id < vocabulary.len() as u64;
            let default = default.filter(|&id| is_token(id.into()));
            let Some(value) = metadata.get(key) else { return default };
            let id = value.as_u64();
            if id.is_none_or(|id| !is_token(id)) {
                let (found, count) =
                    (id.map_or("no number".to_owned(), |id| id.to_string()), vocabulary.len());
                warnings
                    .push(format!("{key} is {found}, and the model has {count} tokens; the key is ignored"));
            }
            id.filter(|&id| is_token(id)).map_or(default, |id| Some(id as u32))
        };
        // SentencePiece's own numbers hold where a file gives none.
        let own = |id| (!byte_level).then_some(id);
        let unknown_token = token_at("tokenizer.ggml.unknown_token_id", own(0));
        let (bos, eos) = (token_at(BOS, own(1)), token_at(EOS, own(2)));
        let (method, bos_by_default) = if byte_level {
            let splitter = Splitter::new(metadata)?;
            let bos_by_default = splitter.adds_bos();
            (Method::BytePair(BytePair::new(metadata, &vocabulary, splitter)?), bos_by_default)
        } else {
            (Method::SentencePiece(SentencePiece::new(metadata, &vocabulary, unknown_token)?), true)
        };

        let is_harmony = HARMONY_ENDS.iter().any(|pair| vocabulary.has_all(pair));
        let is_end = |text: &str| match text {
            END => !is_harmony,
            LLAMA_END => !vocabulary.has_all(&[TOOL_RESPONSE]),
            _ => true,
        };
        let texts = ENDS.iter().filter(|text| is_end(text));
        let mut ends: Vec<u32> = texts.filter_map(|text| vocabulary.find(text.as_bytes())).collect();
        ends.extend(eos);
        for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            ends.extend(token_at(key, None));
        }
        for (key, texts) in FILL_ENDS {
            let by_text = || texts.iter().find_map(|text| vocabulary.find(text.as_bytes()));
            ends.extend(token_at(key, None).or_else(by_text));
        }
        let mut adds = |key: &str, default, token: Option<u32>, id_key: &str| {
            let adds = metadata.bool_of(key).unwrap_or(default);
            if adds && token.is_none() {
                warnings.push(format!(
                    "texts should have the token of {id_key}, which is none; they are without"
                ));
            }
            adds && token.is_some()
        };
        let adds_bos = adds("tokenizer.ggml.add_bos_token", bos_by_default, bos, BOS);
        let adds_eos = adds("tokenizer.ggml.add_eos_token", false, eos, EOS);
        let name = metadata.str_of("general.name").unwrap_or_default().to_lowercase();
        let eats_spaces = name.contains("phi-3") || name.contains("phi3");
        Ok(Self {
            special: Finder::new(
                &vocabulary,
                &[Kind::Control, Kind::Unknown, Kind::UserDefined],
                eats_spaces,
            )?,
            user_defined: Finder::new(&vocabulary, &[Kind::UserDefined], eats_spaces)?,
            vocabulary,
            method,
            bos,
            eos,
            adds_bos,
            adds_eos,
            ends,
            warnings,
        })
    }

    /// What the file says and cannot be, and is therefore ignored; a sentence for each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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

/// What a token is, by its text and by what the file says; `has` tells whether all texts are tokens.
fn kind_by_name(name: &[u8], kind: Kind, has: &dyn Fn(&[&str]) -> bool) -> Kind {
    let is = |text: &&str| text.as_bytes() == name;
    if HARMONY.iter().any(is) && HARMONY_ENDS.iter().any(|pair| has(pair)) {
        return Kind::UserDefined;
    }
    if is(&LLAMA_END) && has(&[TOOL_RESPONSE]) {
        return Kind::Normal;
    }
    let mut control = ENDS.iter().chain(FILL_ENDS.iter().flat_map(|(_, texts)| *texts));
    if control.any(is) { Kind::Control } else { kind }
}

/// Finds special tokens in a text: the longest first, wherever it is, of equals the first by number, of one
/// the leftmost.
#[derive(Debug)]
struct Finder {
    texts: AhoCorasick,
    tokens: Vec<u32>,
    /// Whether white space after a token goes with it, as in Phi-3; for each.
    eats_spaces: Vec<bool>,
}

impl Finder {
    fn new(vocabulary: &Vocabulary, kinds: &[Kind], eats_spaces: bool) -> Result<Self> {
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

    /// The tokens and where they are, from left to right. Takes time for every place where one could be.
    fn find_in(&self, text: &str) -> Vec<(Range<usize>, u32)> {
        let mut matches: Vec<(Range<usize>, usize)> = self
            .texts
            .find_overlapping_iter(text)
            .map(|found| (found.range(), found.pattern().as_usize()))
            .collect();
        matches.sort_by_key(|(range, token)| (Reverse(range.len()), *token, range.start));
        // All that is taken already is as long or longer, so that it covers an end of what it overlaps.
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

fn unknown(what: &'static str, found: &str, known: String) -> Error {
    Error::Unsupported { what, found: found.to_owned(), known }
}

fn bad_key(key: &str, needed: &'static str) -> Error {
    Error::MetadataKey { key: key.to_owned(), needed }
}
