//! Text to tokens and back, as llama.cpp's tokenizers do for the same file.
//!
//! A tokenizer is read from the metadata of a GGUF file (`tokenizer.ggml.*`). Two kinds are known:
//!
//! - `gpt2`, byte-level byte-pair encoding: patterns, which `tokenizer.ggml.pre` names, split the text into
//!   words; within a word, neighbouring bytes are merged in the order of a list of merges;
//! - `llama`, SentencePiece: there are no words; neighbouring characters are merged to the token with the
//!   best score, and what is no token becomes bytes.
//!
//! Special tokens such as `<|im_end|>` are found in the text first. Unknown kinds and patterns are
//! [`Error::Unsupported`](crate::Error::Unsupported).

mod byte_pair;
mod ends;
mod errors;
mod merge;
mod sentence_piece;
mod special;
mod split;
mod stream;
mod vocabulary;

pub use stream::TextStream;

use crate::Result;
use crate::gguf::Metadata;
use byte_pair::BytePair;
use ends::{FILL_ENDS, ends_of, kind_of};
use errors::unknown;
use sentence_piece::SentencePiece;
use special::Finder;
use split::Splitter;
use vocabulary::{Kind, Vocabulary};

const BOS: &str = "tokenizer.ggml.bos_token_id";
const EOS: &str = "tokenizer.ggml.eos_token_id";

/// A model's tokenizer. Immutable, so threads may share it.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    method: Method,
    /// Finds all special tokens.
    special: Finder,
    /// Finds user-defined tokens only, which are plain text too.
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

impl Tokenizer {
    /// Reads the tokenizer of a model from its metadata.
    ///
    /// Ignores the number of a special token that is past the vocabulary, with one of
    /// [`warnings`](Self::warnings). Fails with [`Error::Unsupported`](crate::Error::Unsupported) for an
    /// unknown kind or splitting, and with [`Error::MetadataKey`](crate::Error::MetadataKey) for a key that
    /// is missing or has an impossible value. Takes about 100 ms for 250,000 tokens.
    pub fn new(metadata: &Metadata) -> Result<Self> {
        let model = metadata.str_of("tokenizer.ggml.model").unwrap_or("missing");
        let byte_level = match model {
            "gpt2" => true,
            "llama" => false,
            _ => return Err(unknown("tokenizer.ggml.model", model, "gpt2, llama".to_owned())),
        };
        let vocabulary = Vocabulary::new(metadata, byte_level, kind_of)?;
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
        // Where a file gives none, SentencePiece has numbers of its own.
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

        let mut ends = ends_of(&vocabulary);
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

    /// Keys with impossible values, which are ignored; a sentence for each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The tokens of `text`. Texts of special tokens become these tokens. Adds no token at the start or the
    /// end.
    ///
    /// Drops bytes without a token in the vocabulary, as llama.cpp does; few vocabularies lack any.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_around(&self.special, text)
    }

    /// The tokens of untrusted text: texts of control tokens stay text.
    pub fn encode_plain(&self, text: &str) -> Vec<u32> {
        self.encode_around(&self.user_defined, text)
    }

    /// The tokens of the prompt `text`: [`encode`](Self::encode), with BOS at the start and EOS at the end if
    /// the model wants them and they are not there yet.
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
        // The start of a text counts as after a special token.
        let mut after_special = true;
        for (range, token) in special.find_in(text) {
            self.encode_text(&text[start..range.start], after_special, &mut tokens);
            tokens.push(token);
            (start, after_special) = (range.end, true);
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

    /// The text of `tokens`. Control tokens, and numbers past the vocabulary, have none; invalid UTF-8
    /// becomes U+FFFD.
    ///
    /// Removes the space that SentencePiece adds at the start of a text.
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

    /// Decodes tokens one by one, as a model generates them.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(&self.vocabulary)
    }

    /// The bytes of `token`, which may end within a character; none for a control token.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.vocabulary.bytes(token)
    }

    /// The name of a token of any kind, such as `<|im_end|>`.
    pub fn name(&self, token: u32) -> String {
        String::from_utf8_lossy(self.vocabulary.name(token)).into_owned()
    }

    /// Whether an answer ends with `token`.
    pub fn ends(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The token that begins a text (BOS).
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text (EOS).
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Whether every text begins with [`bos`](Self::bos).
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Tokens in the vocabulary.
    pub fn len(&self) -> usize {
        self.vocabulary.len()
    }

    /// Whether there are no tokens, which is never so.
    pub fn is_empty(&self) -> bool {
        self.vocabulary.len() == 0
    }
}
