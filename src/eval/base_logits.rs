//! What a base predicts for a text, kept in a file: computed once, compared with any number of models.
//!
//! ```text
//! "QMLOGITS"   8 bytes
//! version      u32; all numbers are little-endian
//! key bytes    u32
//! key          JSON: what the predictions depend on, see `BaseKey`
//! a position   ln p of the text's next token (f64), the most likely token (u32),
//!              logit - largest logit of each token (f16)
//! …            as many positions as the key says
//! ```
//!
//! A softmax does not depend on a shift. f16 is finest near 0, which after the shift is where probabilities
//! are largest: the error of ln p is at most 2⁻¹² of its distance from the largest. So a position takes 2
//! bytes a token. ln p of the next token and the most likely token are exact.

use super::position::Position;
use super::prediction::Prediction;
use super::walk::{Chunks, Walk, read_first_half};
use crate::error::ComparisonFault;
use crate::gguf::{self, ReadAt};
use crate::gpu::Precision;
use crate::llm::{LoadOptions, Model, Session};
use crate::stream::{Existing, OutputFile};
use crate::{Error, Result};
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"QMLOGITS";
const VERSION: u32 = 1;
/// Magic, version and length of the key.
const HEAD_BYTES: u64 = 16;
/// A longer key is damage.
const MOST_KEY_BYTES: u32 = 1 << 20;

/// What the predictions of a base depend on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseKey {
    /// The base: architecture and name of its metadata, and a hash of all names, shapes and types of tensors
    /// and of 4 KiB of each tensor's data.
    pub model: String,
    /// The device that computed.
    pub device: String,
    /// How: `exact` or `int8` activations, and the formats of keys and values.
    pub precision: String,
    /// The text: the number of its tokens that are used, and a hash of them.
    pub text: String,
    /// Tokens in a chunk.
    pub chunk_tokens: usize,
    /// Number of chunks.
    pub chunks: usize,
    /// The token that replaces the first of each chunk.
    pub bos: Option<u32>,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
}

impl BaseKey {
    /// The key of `base`, loaded with `options` and evaluated on `text`.
    ///
    /// Fails as [`perplexity`](super::perplexity) does for a text shorter than a chunk, and with
    /// [`Error::Io`].
    pub fn new(base: &gguf::Model, options: &LoadOptions, text: &[u32], chunks: &Chunks) -> Result<Self> {
        let vocabulary = crate::llm::Config::new(base)?.vocabulary;
        let walk = Walk::new(text, chunks, vocabulary)?;
        let activations = if options.precision == Precision::Exact { "exact" } else { "int8" };
        let used = &text[..walk.count() * chunks.tokens];
        let mut hash = gguf::Hash::new();
        for token in used {
            hash.add(&token.to_le_bytes());
        }
        Ok(Self {
            model: gguf::fingerprint(base)?,
            device: options.device.to_string(),
            precision: format!("{activations}, cache {}/{}", options.cache_keys, options.cache_values),
            text: format!("{} tokens, hash {:016x}", used.len(), hash.value()),
            chunk_tokens: chunks.tokens,
            chunks: walk.count(),
            bos: chunks.bos,
            vocabulary,
        })
    }

    /// The entries by name, in words.
    fn entries(&self) -> [(&'static str, String); 8] {
        [
            ("the base", self.model.clone()),
            ("the device", self.device.clone()),
            ("the precision", self.precision.clone()),
            ("the text", self.text.clone()),
            ("the length of a chunk", self.chunk_tokens.to_string()),
            ("the number of chunks", self.chunks.to_string()),
            ("the first token of a chunk", self.bos.map_or("the text's".to_owned(), |bos| bos.to_string())),
            ("the vocabulary", self.vocabulary.to_string()),
        ]
    }

    /// The first entry in which the keys differ: its name, and its value in each.
    ///
    /// With `text_only`, entries that say what computed are not compared.
    pub fn first_difference(&self, other: &Self, text_only: bool) -> Option<(&'static str, String, String)> {
        let pairs = self.entries().into_iter().zip(other.entries()).skip(if text_only { 3 } else { 0 });
        let mut differing = pairs.filter(|(a, b)| a != b);
        differing.next().map(|((name, here), (_, there))| (name, here, there))
    }

    fn to_json(&self) -> Value {
        json!({
            "model": self.model,
            "device": self.device,
            "precision": self.precision,
            "text": self.text,
            "chunk_tokens": self.chunk_tokens,
            "chunks": self.chunks,
            "bos": self.bos,
            "vocabulary": self.vocabulary,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let number = |name: &str| value[name].as_u64().and_then(|number| usize::try_from(number).ok());
        Some(Self {
            model: text("model")?,
            device: text("device")?,
            precision: text("precision")?,
            text: text("text")?,
            chunk_tokens: number("chunk_tokens").filter(|&tokens| tokens >= 4)?,
            chunks: number("chunks")?,
            bos: value["bos"].as_u64().and_then(|bos| u32::try_from(bos).ok()),
            vocabulary: number("vocabulary").filter(|&vocabulary| vocabulary > 0)?,
        })
    }

    /// Positions that are predicted.
    fn positions(&self) -> u64 {
        (self.chunks * positions_in(self.chunk_tokens)) as u64
    }
}

/// Positions of a chunk that are predicted.
fn positions_in(chunk_tokens: usize) -> usize {
    chunk_tokens - 1 - chunk_tokens / 2
}

/// The predictions of a base in a file, open for reading.
pub struct BaseLogits {
    path: PathBuf,
    source: Box<dyn ReadAt>,
    key: BaseKey,
    /// Offset of the first position.
    start: u64,
}

impl BaseLogits {
    /// Evaluates `base`, whose key is `key`, and writes its predictions to a file at `path`, which is
    /// complete or not there.
    ///
    /// `on_chunk` is called after each chunk; [`ControlFlow::Break`] stops with [`Error::Cancelled`]. Writes
    /// 12 bytes a position and 2 for each token of the vocabulary. Fails as
    /// [`perplexity`](super::perplexity) and [`OutputFile::create`] do.
    pub fn record(
        path: &Path,
        existing: Existing,
        key: &BaseKey,
        base: &Model,
        text: &[u32],
        chunks: &Chunks,
        on_chunk: &mut dyn FnMut(&Prediction) -> ControlFlow<()>,
    ) -> Result<Self> {
        let vocabulary = base.config().vocabulary;
        let walk = Walk::new(text, chunks, vocabulary)?;
        let mut session = Session::new(base)?;
        let cannot_write = |source| Error::Io { path: path.to_owned(), action: "write", source };
        let mut file = OutputFile::create(path, existing)?;
        let key_bytes = key.to_json().to_string().into_bytes();
        let head = [&MAGIC[..], &VERSION.to_le_bytes(), &(key_bytes.len() as u32).to_le_bytes()].concat();
        file.write_all(&head).and_then(|()| file.write_all(&key_bytes)).map_err(cannot_write)?;
        let mut known = Prediction { total_chunks: walk.count(), ..Prediction::default() };
        let mut record = Vec::new();
        for chunk in walk.chunks() {
            read_first_half(&mut session, &chunk)?;
            for range in walk.scored(chunk.len()) {
                let logits = session.all_logits(&chunk[range.clone()])?;
                for (row, &token) in logits.chunks_exact(vocabulary).zip(&chunk[range.start + 1..]) {
                    let position = Position::of(row, token);
                    known.perplexity.add_surprise(-position.ln_p);
                    encode(&position, &mut record);
                    file.write_all(&record).map_err(cannot_write)?;
                }
            }
            known.chunks += 1;
            if on_chunk(&known).is_break() {
                return Err(Error::Cancelled);
            }
        }
        file.commit()?;
        Self::open(path)
    }

    /// Opens the file at `path`.
    ///
    /// Fails with [`Error::Io`], and with [`ComparisonFault::NotBaseLogits`] for a file of another kind,
    /// version or length.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| io_error(path, source))?;
        Self::from_source(path, Box::new(file))
    }

    /// [`BaseLogits::open`] of bytes that may be read in any way. Errors name `path`.
    pub fn from_source(path: &Path, source: Box<dyn ReadAt>) -> Result<Self> {
        let fault = |found: String| {
            Error::Comparison(ComparisonFault::NotBaseLogits { path: path.to_owned(), found })
        };
        let bytes = source.len_bytes().map_err(|source| io_error(path, source))?;
        let mut head = [0; HEAD_BYTES as usize];
        if bytes < HEAD_BYTES {
            return Err(fault(format!("a file of {bytes} bytes")));
        }
        source.read_exact_at(&mut head, 0).map_err(|source| io_error(path, source))?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[..8] != MAGIC {
            return Err(fault("a file that begins otherwise".to_owned()));
        }
        if number(8) != VERSION {
            return Err(fault(format!("version {}, where {VERSION} is known", number(8))));
        }
        let key_bytes = number(12);
        if key_bytes > MOST_KEY_BYTES || u64::from(key_bytes) > bytes - HEAD_BYTES {
            return Err(fault(format!("a key of {key_bytes} bytes")));
        }
        let mut text = vec![0; key_bytes as usize];
        source.read_exact_at(&mut text, HEAD_BYTES).map_err(|source| io_error(path, source))?;
        let key = serde_json::from_slice(&text).ok().and_then(|value| BaseKey::from_json(&value));
        let Some(key) = key else { return Err(fault("a key that is damaged".to_owned())) };
        let start = HEAD_BYTES + u64::from(key_bytes);
        let needed =
            key.positions().checked_mul(record_bytes(key.vocabulary)).and_then(|n| n.checked_add(start));
        if needed != Some(bytes) {
            let needed = needed.map_or("too many".to_owned(), |needed| needed.to_string());
            return Err(fault(format!("{bytes} bytes, where its key needs {needed}")));
        }
        Ok(Self { path: path.to_owned(), source, key, start })
    }

    /// What the predictions depend on.
    pub fn key(&self) -> &BaseKey {
        &self.key
    }

    /// Fails with [`ComparisonFault::OtherBase`] if the predictions are not those that `wanted` describes.
    ///
    /// With `text_only`, only text, chunks and vocabulary are compared: for a caller who does not know the
    /// base.
    pub fn check(&self, wanted: &BaseKey, text_only: bool) -> Result<()> {
        match self.key.first_difference(wanted, text_only) {
            None => Ok(()),
            Some((what, found, needed)) => {
                let path = self.path.clone();
                Err(Error::Comparison(ComparisonFault::OtherBase { path, what, found, needed }))
            }
        }
    }

    /// The base's own perplexity.
    ///
    /// Reads 12 bytes a position. Fails with [`Error::Io`].
    pub fn perplexity(&self) -> Result<super::Perplexity> {
        let mut perplexity = super::Perplexity::default();
        for position in 0..self.key.positions() {
            let mut bytes = [0; 8];
            let at = self.start + position * record_bytes(self.key.vocabulary);
            self.source.read_exact_at(&mut bytes, at).map_err(|source| io_error(&self.path, source))?;
            perplexity.add_surprise(-f64::from_le_bytes(bytes));
        }
        Ok(perplexity)
    }

    /// Reads a position of a chunk into `position`; `bytes` is scratch.
    pub(super) fn read(
        &self,
        chunk: usize,
        index: usize,
        bytes: &mut Vec<u8>,
        position: &mut Position,
    ) -> Result<()> {
        let record = record_bytes(self.key.vocabulary);
        bytes.resize(record as usize, 0);
        let number = (chunk * positions_in(self.key.chunk_tokens) + index) as u64;
        let at = self.start + number * record;
        self.source.read_exact_at(bytes, at).map_err(|source| io_error(&self.path, source))?;
        decode(bytes, position);
        Ok(())
    }
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), action: "read", source }
}

/// Bytes of a position.
fn record_bytes(vocabulary: usize) -> u64 {
    12 + 2 * vocabulary as u64
}

fn encode(position: &Position, record: &mut Vec<u8>) {
    record.clear();
    record.extend_from_slice(&position.ln_p.to_le_bytes());
    record.extend_from_slice(&position.top.to_le_bytes());
    record.extend(position.logits.iter().flat_map(|&logit| f16::from_f32(logit).to_le_bytes()));
}

fn decode(record: &[u8], position: &mut Position) {
    let (ln_p, rest) = record.split_at(8);
    let (top, logits) = rest.split_at(4);
    position.ln_p = f64::from_le_bytes(ln_p.try_into().unwrap_or_default());
    position.top = u32::from_le_bytes(top.try_into().unwrap_or_default());
    let f16s: Vec<f16> = logits.chunks_exact(2).map(|half| f16::from_le_bytes([half[0], half[1]])).collect();
    position.logits.resize(f16s.len(), 0.0);
    f16s.convert_to_f32_slice(&mut position.logits);
}
