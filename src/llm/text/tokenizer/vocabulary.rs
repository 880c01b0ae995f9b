//! The tokens of a model: names, kinds, and the bytes that they decode to.

use super::errors::bad_key;
use crate::Result;
use crate::gguf::Metadata;
use std::collections::HashMap;

/// The kind of a token, numbered as in `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Byte,
    Unused,
}

impl Kind {
    fn of(number: i64) -> Self {
        match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            6 => Self::Byte,
            _ => Self::Unused,
        }
    }
}

#[derive(Debug)]
pub(super) struct Vocabulary {
    tokens: Vec<Token>,
    /// By the bytes that merging goes by: in SentencePiece the token's name, else the bytes that it spells.
    ids: HashMap<Box<[u8]>, u32>,
}

#[derive(Debug)]
struct Token {
    name: Box<[u8]>,
    bytes: Box<[u8]>,
    kind: Kind,
}

/// SentencePiece's space.
pub(super) const SPACE: &str = "▁";

impl Vocabulary {
    /// `kind_of` decides the kind of a token from its name, the kind that the file gives, and a test whether
    /// all texts are tokens.
    pub(super) fn new(
        metadata: &Metadata,
        byte_level: bool,
        kind_of: impl Fn(&[u8], Kind, &dyn Fn(&[&str]) -> bool) -> Kind,
    ) -> Result<Self> {
        const TOKENS: &str = "tokenizer.ggml.tokens";
        const TYPES: &str = "tokenizer.ggml.token_type";
        let names = metadata.array_of(TOKENS).filter(|array| !array.is_empty());
        let names = names.and_then(|array| array.strings());
        let names = names.ok_or_else(|| bad_key(TOKENS, "an array of strings"))?;
        let names: Vec<&[u8]> = names.collect();
        let kinds: Vec<Kind> = match metadata.array_of(TYPES) {
            None => vec![Kind::Normal; names.len()],
            Some(types) => types.iter().map(|kind| Kind::of(kind.as_i64().unwrap_or_default())).collect(),
        };
        if kinds.len() < names.len() {
            return Err(bad_key(TYPES, "an integer for each token"));
        }

        let joined = |name: &[u8]| if byte_level { spelt(name) } else { name.to_vec() };
        let mut ids = HashMap::with_capacity(names.len());
        for (id, name) in (0..).zip(&names) {
            ids.entry(joined(name).into_boxed_slice()).or_insert(id);
        }
        let mut vocabulary = Self { tokens: Vec::with_capacity(names.len()), ids };
        for (name, kind) in names.into_iter().zip(kinds) {
            let kind = kind_of(name, kind, &|texts| vocabulary.has_all(texts));
            let bytes = match kind {
                Kind::Normal if byte_level => joined(name),
                Kind::Normal => String::from_utf8_lossy(name).replace(SPACE, " ").into_bytes(),
                Kind::UserDefined => name.to_vec(),
                Kind::Byte => byte_of(name).into_iter().collect(),
                Kind::Unknown | Kind::Control | Kind::Unused => Vec::new(),
            };
            vocabulary.tokens.push(Token { name: name.into(), bytes: bytes.into(), kind });
        }
        Ok(vocabulary)
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn find(&self, bytes: &[u8]) -> Option<u32> {
        self.ids.get(bytes).copied()
    }

    /// Whether all of these are tokens.
    pub(super) fn has_all(&self, texts: &[&str]) -> bool {
        texts.iter().all(|text| self.find(text.as_bytes()).is_some())
    }

    pub(super) fn name(&self, token: u32) -> &[u8] {
        self.tokens.get(token as usize).map_or(&[], |token| &token.name)
    }

    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        self.tokens.get(token as usize).map_or(&[], |token| &token.bytes)
    }

    /// The tokens of these kinds that have a name.
    pub(super) fn of_kinds(&self, kinds: &[Kind]) -> impl Iterator<Item = u32> {
        let tokens = (0..).zip(&self.tokens);
        tokens.filter(|(_, token)| kinds.contains(&token.kind) && !token.name.is_empty()).map(|(id, _)| id)
    }
}

/// The bytes that a text in GPT-2's alphabet spells; the text itself if a character is not in the alphabet.
pub(super) fn spelt(text: &[u8]) -> Vec<u8> {
    let bytes = std::str::from_utf8(text).ok().and_then(|text| text.chars().map(byte_for).collect());
    bytes.unwrap_or_else(|| text.to_vec())
}

/// The byte of a character in GPT-2's alphabet: printable bytes are themselves, and the other 68, in
/// ascending order, are the characters from U+0100 on.
fn byte_for(character: char) -> Option<u8> {
    let byte = match u32::from(character) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => code,
        code @ 0x100..=0x120 => code - 0x100,
        code @ 0x121..=0x142 => code - 0x121 + 0x7F,
        0x143 => 0xAD,
        _ => return None,
    };
    Some(byte as u8)
}

/// The byte of SentencePiece's `<0x0A>`.
fn byte_of(name: &[u8]) -> Option<u8> {
    let digits = name.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
