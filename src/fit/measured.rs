//! Sensitivities of the model itself: quantizes one role after the other, and measures how far the
//! predictions move.
//!
//! The divergence is near Σ sensitivity · error over the tensors that are quantized. So the divergence with
//! one tensor quantized, divided by its error, is its sensitivity. A model with many tensors is measured by
//! role, and then by layer: how many times more a layer costs than its roles say.
//!
//! Random tokens serve where there is no text. Small numbers are more frequent among them, in proportion to
//! 1/number, because vocabularies are sorted by frequency: where all tokens are as frequent, rare ones make
//! the token embedding look several times more sensitive than it is in texts.

use super::tensors::Tensor;
use super::{Fit, MeasureProgress, State};
use crate::error::FitFault;
use crate::eval::Divergence;
use crate::gguf::Hash;
use crate::gguf::Tensor as TensorSource;
use crate::llm::{LoadOptions, Model, Session};
use crate::mix::{self, FileType, TensorRule};
use crate::stream::Request;
use crate::{Error, Format, Result};
use half::f16;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Tokens that are run through the model, and the most in a sequence.
const TOKENS: usize = 1024;
const SEQUENCE: usize = 512;
/// Of a model with at most so many tensors, each is measured by itself.
const FEW_TENSORS: usize = 64;
/// Random tokens keep away from both ends of the vocabulary, where bytes and control tokens are.
const FIRST_TOKENS: u64 = 300;
const LAST_TOKENS: u64 = 400;
const SEED: u64 = 1000;
/// The most bytes of logits that are held at a time, besides the base's.
const LOGITS_BYTES: usize = 64 << 20;

/// How sensitivities are measured.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Probe {
    /// Whether each tensor is quantized by itself, not all tensors of a role and of a layer together; a model
    /// with at most 64 tensors is measured so in any case.
    pub each_tensor: bool,
    /// The tokens of a text; by default random ones.
    pub text: Option<Vec<u32>>,
    /// The token before each sequence, for models whose texts begin with it.
    pub bos: Option<u32>,
}

impl Probe {
    /// By role and layer, on random tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`each_tensor`](Self::each_tensor).
    #[must_use]
    pub fn with_each_tensor(self, each_tensor: bool) -> Self {
        Self { each_tensor, ..self }
    }

    /// Sets [`text`](Self::text).
    #[must_use]
    pub fn with_text(self, text: impl Into<Option<Vec<u32>>>) -> Self {
        Self { text: text.into(), ..self }
    }

    /// Sets [`bos`](Self::bos).
    #[must_use]
    pub fn with_bos(self, bos: impl Into<Option<u32>>) -> Self {
        Self { bos: bos.into(), ..self }
    }

    /// The sequences, of at most `context` tokens.
    fn sequences(&self, vocabulary: usize, context: usize) -> Result<Vec<Vec<u32>>> {
        let length = SEQUENCE.min(context).max(1);
        let count = TOKENS.div_ceil(length);
        let mut sequences: Vec<Vec<u32>> = match &self.text {
            Some(text) if text.len() < length => {
                return Err(Error::Fit(FitFault::ShortText { needed: length, found: text.len() }));
            }
            Some(text) => {
                // As many as there are, at even distances.
                let count = count.min(text.len() / length);
                let start = |i: usize| i * (text.len() - length) / count.saturating_sub(1).max(1);
                (0..count).map(|i| text[start(i)..start(i) + length].to_vec()).collect()
            }
            None => {
                let mut random = Random(SEED);
                (0..count)
                    .map(|_| (0..length).map(|_| random_token(&mut random, vocabulary as u64)).collect())
                    .collect()
            }
        };
        if let Some(bos) = self.bos {
            for sequence in &mut sequences {
                sequence[0] = bos;
            }
        }
        Ok(sequences)
    }

    /// What tells measurements of one kind from others.
    fn method(&self, sequences: &[Vec<u32>], each_tensor: bool) -> String {
        let by = if each_tensor { "tensor" } else { "role and layer" };
        let kind = if self.text.is_some() { "text" } else { "random tokens" };
        let mut hash = Hash::new();
        for token in sequences.iter().flatten() {
            hash.add(&token.to_le_bytes());
        }
        let (count, length) = (sequences.len(), sequences.first().map_or(0, Vec::len));
        format!("{kind}, {count} x {length}, by {by}, {:016x}", hash.value())
    }
}

/// `SplitMix64`. That of the sampler is private to `llm`.
struct Random(u64);

impl Random {
    /// At least 0 and below 1, in steps of 2^-53.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        (x >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A random token; with a probability in proportion to 1/number.
fn random_token(random: &mut Random, vocabulary: u64) -> u32 {
    let (first, last) =
        if vocabulary > FIRST_TOKENS + LAST_TOKENS { (FIRST_TOKENS, LAST_TOKENS) } else { (1, 0) };
    let end = vocabulary.saturating_sub(last).max(first + 1);
    let token = first as f64 * (end as f64 / first as f64).powf(random.next());
    (token as u64).min(end - 1) as u32
}

impl Fit<'_> {
    /// Measures the sensitivities that `state` lacks, one role or tensor after the other.
    ///
    /// `load` says where the model runs; its context and `quantize` are not used. [`Fit::measure`] must have
    /// measured the errors. `progress` is called before each; after [`ControlFlow::Break`] it fails with
    /// [`Error::Cancelled`], and `state` keeps what was measured.
    ///
    /// Loads the model once more than there are roles, and runs 1024 tokens through it each time. Needs the
    /// memory of the model and of a session, and of 1024 logits for each token of the vocabulary as f16.
    /// Fails with [`FitFault::NotRun`] for a model that `llm` does not run, with [`FitFault::ShortText`],
    /// with [`FitFault::NotMeasured`], and with errors of the device.
    pub fn measure_sensitivities(
        &self,
        state: &mut State,
        load: &LoadOptions,
        probe: &Probe,
        progress: &mut dyn FnMut(&MeasureProgress) -> ControlFlow<()>,
    ) -> Result<()> {
        let not_run = |error: Error| Error::Fit(FitFault::NotRun { why: error.to_string() });
        let config = crate::llm::Config::new(self.model).map_err(not_run)?;
        let sequences = probe.sequences(config.vocabulary, config.trained_context)?;
        let each_tensor = probe.each_tensor || self.tensors.len() <= FEW_TENSORS;
        state.begin_sensitivities(&probe.method(&sequences, each_tensor));
        let groups = self.groups(each_tensor);
        let missing: Vec<_> =
            groups.iter().filter(|(name, _)| !state.sensitivities().contains_key(name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let load = LoadOptions { quantize: None, ..load.clone() };
        let load = load.with_context(sequences.first().map_or(1, Vec::len));
        let mut report = |name: &str, done: usize| {
            let at = MeasureProgress { name, done, total: missing.len() + 1 };
            if progress(&at).is_break() { Err(Error::Cancelled) } else { Ok(()) }
        };
        report("the model as it is", 0)?;
        let base = {
            let model = Model::from_gguf(self.model, &load).map_err(not_run)?;
            Base::new(&model, &sequences)?
        };
        for (done, (name, tensors)) in missing.iter().enumerate() {
            report(name, done + 1)?;
            let mut errors = 0.0;
            let mut formats = Vec::new();
            for tensor in &self.tensors {
                let is_quantized = tensors.iter().any(|other| other.source_index == tensor.source_index);
                let worst = if is_quantized { worst(tensor, state)? } else { None };
                // A layer is measured in units of its roles.
                let unit = if is_layer(name) { state.sensitivity(tensor.role()) } else { Some(1.0) };
                errors += worst.map_or(0.0, |(_, error)| error) * unit.unwrap_or(0.0);
                formats.push(worst.map_or(tensor.source, |(format, _)| format));
            }
            // What loses nothing tells nothing.
            if errors > 0.0 {
                let model =
                    Model::from_gguf(self.model, &load.clone().with_quantize_request(self.only(&formats)))?;
                let sensitivity = base.divergence(&model, &sequences)? / errors;
                if sensitivity.is_finite() {
                    state.set_sensitivity(name, sensitivity);
                }
            }
        }
        Ok(())
    }

    /// The tensors that are quantized together, by name: each by itself, or first those of each role, then
    /// those of each layer.
    fn groups(&self, each_tensor: bool) -> Vec<(String, Vec<&Tensor>)> {
        if each_tensor {
            return self.grouped(|tensor| Some(tensor.source_name.clone()));
        }
        let mut groups = self.grouped(|tensor| Some(tensor.role().to_owned()));
        groups.extend(self.grouped(Tensor::layer));
        groups
    }

    fn grouped(&self, name: impl Fn(&Tensor) -> Option<String>) -> Vec<(String, Vec<&Tensor>)> {
        let mut groups: Vec<(String, Vec<&Tensor>)> = Vec::new();
        for tensor in &self.tensors {
            let Some(name) = name(tensor) else { continue };
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, tensors)) => tensors.push(tensor),
                None => groups.push((name, vec![tensor])),
            }
        }
        groups
    }

    /// The request that gives the tensors these formats, and leaves all others as they are.
    fn only(&self, formats: &[Format]) -> Request {
        let chosen: HashMap<usize, Format> =
            self.tensors.iter().map(|tensor| tensor.source_index).zip(formats.iter().copied()).collect();
        let rule = |(index, source): (usize, TensorSource)| {
            let format = chosen.get(&index).copied().or_else(|| source.info.tensor_type().format())?;
            Some(TensorRule::named(source.info.name(), format))
        };
        let rules = self.model.tensors().enumerate().filter_map(rule).collect();
        // With a rule for each tensor, the type decides nothing.
        Request::new(FileType::Q4_K_M)
            .with_mix(mix::Options::default().with_tensor_types(rules))
            .with_allow_requantize(true)
    }
}

/// Whether a group has the name of a layer: `blk.3`.
fn is_layer(name: &str) -> bool {
    mix::layer(name).is_some_and(|layer| name == format!("blk.{layer}"))
}

/// The candidate with the largest error, and that error: it moves the predictions most, compared with
/// rounding. `None` where there is only the format of the source.
fn worst(tensor: &Tensor, state: &State) -> Result<Option<(Format, f64)>> {
    let mut worst: Option<(Format, f64)> = None;
    for &format in tensor.candidates.iter().filter(|&&format| format != tensor.source) {
        let error = state.error(&tensor.source_name, format);
        let error =
            error.ok_or_else(|| Error::Fit(FitFault::NotMeasured { tensor: tensor.name.clone(), format }))?;
        // With an error above 1, a format cannot hold the weights.
        if error <= 1.0 && worst.is_none_or(|(_, known)| error > known) {
            worst = Some((format, error));
        }
    }
    Ok(worst)
}

/// The logits of the model as it is, less the largest of each position.
struct Base {
    vocabulary: usize,
    logits: Vec<f16>,
}

impl Base {
    fn new(model: &Model, sequences: &[Vec<u32>]) -> Result<Self> {
        let vocabulary = model.config().vocabulary;
        let mut logits = Vec::with_capacity(sequences.iter().map(Vec::len).sum::<usize>() * vocabulary);
        each_row(model, sequences, |row| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            logits.extend(row.iter().map(|&logit| f16::from_f32(logit - largest)));
        })?;
        Ok(Self { vocabulary, logits })
    }

    /// The mean divergence of another model from this one.
    fn divergence(&self, model: &Model, sequences: &[Vec<u32>]) -> Result<f64> {
        let mut divergence = Divergence::default();
        let mut rows = self.logits.chunks_exact(self.vocabulary);
        let mut base = vec![0.0; self.vocabulary];
        each_row(model, sequences, |row| {
            for (base, logit) in base.iter_mut().zip(rows.next().into_iter().flatten()) {
                *base = logit.to_f32();
            }
            divergence.add(&base, row, 0);
        })?;
        Ok(divergence.mean().value)
    }
}

/// Calls `run` with the logits after each token of each sequence.
fn each_row(model: &Model, sequences: &[Vec<u32>], mut run: impl FnMut(&[f32])) -> Result<()> {
    let vocabulary = model.config().vocabulary.max(1);
    let rows = (LOGITS_BYTES / 4 / vocabulary).max(16);
    let mut session = Session::new(model)?;
    for sequence in sequences {
        session.rewind(0)?;
        for tokens in sequence.chunks(rows) {
            session.all_logits(tokens)?.chunks_exact(vocabulary).for_each(&mut run);
        }
    }
    Ok(())
}
