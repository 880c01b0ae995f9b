//! The data of a report, as JSON holds them.

use crate::error::ComparisonFault;
use crate::eval::{Comparison, Mean};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What JSON says that it is.
const KIND: &str = "qmill report";
/// The version of the JSON; readers know this one.
const VERSION: u32 = 1;

/// What a model costs in several types.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Report {
    /// `qmill report`.
    pub kind: String,
    /// Version of this JSON.
    pub version: u32,
    /// Version of qmill.
    pub qmill: String,
    /// The model that the types are made of.
    pub base: Base,
    /// The text that quality is measured on.
    pub text: Text,
    /// How speed is measured; `None` if it is not.
    pub cases: Option<Cases>,
    /// Tokens of the KV cache whose bytes are given.
    pub cache_tokens: usize,
    /// Bytes of weights and KV cache that a model may take on the first device, if there is a limit.
    pub memory_limit: Option<u64>,
    /// The base, then the types.
    pub rows: Vec<Row>,
}

/// The model that the types are made of.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Base {
    /// Its file.
    pub file: String,
    /// Architecture, name and a hash, as in [`BaseKey`](crate::eval::BaseKey).
    pub model: String,
    /// Weights in all tensors.
    pub weights: u64,
    /// Whether tensors of it are quantized already, so that their errors add up.
    pub is_quantized: bool,
}

/// The text that quality is measured on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Text {
    /// Its name.
    pub name: String,
    /// Its tokens and their hash, as in [`BaseKey`](crate::eval::BaseKey).
    pub tokens: String,
    /// Tokens in a chunk; the second half of each is predicted.
    pub chunk_tokens: usize,
    /// Number of chunks.
    pub chunks: usize,
    /// The token that begins each chunk, if it is not the text's.
    pub bos: Option<u32>,
    /// Predicted tokens.
    pub predicted: u64,
    /// The device that predicted.
    pub device: String,
    /// How it computed: activations, and formats of keys and values.
    pub precision: String,
}

/// How speed is measured.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Cases {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens that are generated.
    pub generated: usize,
    /// Timed repetitions of each.
    pub repetitions: usize,
}

/// What a type costs.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Row {
    /// The type; of the base, the formats of its weights.
    pub name: String,
    /// Whether this is the base.
    pub is_base: bool,
    /// Length of the file, header and padding included.
    pub file_bytes: u64,
    /// Bits of tensor data per weight.
    pub bits_per_weight: f64,
    /// Error of the weights; `None` for the base.
    pub error: Option<WeightError>,
    /// How well it predicts the text.
    pub quality: Quality,
    /// Speed and memory on each device.
    pub speeds: Vec<Speed>,
}

/// The error of weights, as `compare` gives it.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct WeightError {
    /// Ratio of signal to noise in dB over all weights; `None` if infinite.
    pub sqnr_db: Option<f64>,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// The largest error.
    pub max_error: f64,
    /// Each tensor, in the order of the file.
    pub tensors: Vec<TensorError>,
}

/// The error of a tensor.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct TensorError {
    /// Its name.
    pub name: String,
    /// Its format.
    pub format: String,
    /// Number of weights.
    pub weights: u64,
    /// Ratio of signal to noise in dB; `None` if infinite.
    pub sqnr_db: Option<f64>,
}

/// How well a type predicts the text, as `perplexity --base` gives it. For the base, only the perplexity.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Quality {
    /// Perplexity, with the standard error over positions.
    pub perplexity: Estimate,
    /// The difference from the base; `None` for the base.
    pub divergence: Option<Divergence>,
}

/// The difference of predictions from the base's.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Divergence {
    /// ln of the ratio of the perplexity to the base's, with the paired standard error over positions.
    pub log_ratio: Estimate,
    /// Mean KL divergence from the base in nats, with the standard error over chunks.
    pub mean: Estimate,
    /// Its standard error over positions, as `perplexity` gives it.
    pub position_error: f64,
    /// Its median.
    pub median: f64,
    /// Its 99th percentile.
    pub percentile_99: f64,
    /// Its largest value.
    pub largest: f64,
    /// The share of positions with the same most likely token.
    pub same_top: Estimate,
    /// Root mean square of the difference of the next tokens' probabilities.
    pub rms_difference: f64,
    /// The mean of each chunk.
    pub chunk_means: Vec<f64>,
}

/// A value and its standard error.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, Debug)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Its standard error; `None` if there is only one sample.
    pub error: Option<f64>,
}

/// Speed and memory on a device.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Speed {
    /// The device.
    pub device: String,
    /// Bytes of the weights on the device.
    pub weight_bytes: u64,
    /// Bytes of the KV cache.
    pub cache_bytes: u64,
    /// Tokens a second of a prompt, mean and standard deviation over repetitions; `None` if not measured.
    pub prompt: Option<Estimate>,
    /// Tokens a second that are generated.
    pub generation: Option<Estimate>,
}

impl Report {
    /// An empty report.
    pub(super) fn new(base: Base, text: Text, cases: Option<Cases>, cache_tokens: usize) -> Self {
        Self {
            kind: KIND.to_owned(),
            version: VERSION,
            qmill: env!("CARGO_PKG_VERSION").to_owned(),
            base,
            text,
            cases,
            cache_tokens,
            memory_limit: None,
            rows: Vec::new(),
        }
    }

    /// The row of the base.
    pub fn base_row(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.is_base)
    }

    /// The rows of the types.
    pub fn types(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.is_base)
    }

    /// The devices, in the order of the rows.
    pub fn devices(&self) -> Vec<&str> {
        let mut devices = Vec::new();
        for speed in self.rows.iter().flat_map(|row| &row.speeds) {
            if !devices.contains(&speed.device.as_str()) {
                devices.push(&speed.device);
            }
        }
        devices
    }

    /// The letter that stands for a device in tables, if there are several: `A` is the first.
    pub(super) fn letter(&self, device: &str) -> Option<char> {
        let devices = self.devices();
        let index = devices.iter().position(|&known| known == device).filter(|_| devices.len() > 1)?;
        Some(if index < 26 { char::from(b'A' + index as u8) } else { '+' })
    }

    /// As JSON, on several lines.
    pub fn to_json(&self) -> String {
        // Numbers, strings and lists of these: nothing that JSON cannot say.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads JSON. Errors name `path`.
    ///
    /// Fails with [`ComparisonFault::NotAReport`] for other JSON, and for another version of it.
    pub fn from_json(json: &str, path: &Path) -> Result<Self> {
        let fault =
            |found: String| Error::Comparison(ComparisonFault::NotAReport { path: path.to_owned(), found });
        let report: Self = serde_json::from_str(json).map_err(|error| fault(error.to_string()))?;
        if report.kind != KIND || report.version != VERSION {
            return Err(fault(format!("{:?} of version {}", report.kind, report.version)));
        }
        Ok(report)
    }
}

impl Row {
    /// The speed on a device.
    pub fn speed(&self, device: &str) -> Option<&Speed> {
        self.speeds.iter().find(|speed| speed.device == device)
    }

    /// The mean KL divergence from the base.
    pub fn divergence(&self) -> Option<f64> {
        self.quality.divergence.as_ref().map(|divergence| divergence.mean.value)
    }
}

impl Speed {
    /// Bytes of weights and KV cache.
    pub fn memory_bytes(&self) -> u64 {
        self.weight_bytes.saturating_add(self.cache_bytes)
    }
}

impl From<Mean> for Estimate {
    fn from(mean: Mean) -> Self {
        Self { value: mean.value, error: mean.error.is_finite().then_some(mean.error) }
    }
}

impl From<&Comparison> for WeightError {
    fn from(comparison: &Comparison) -> Self {
        let finite = |number: f64| number.is_finite().then_some(number);
        let tensors = comparison.tensors.iter().map(|tensor| TensorError {
            name: tensor.name.clone(),
            format: tensor.other.name().to_owned(),
            weights: tensor.distortion.weights,
            sqnr_db: finite(tensor.distortion.sqnr_db),
        });
        let total = &comparison.total;
        Self {
            sqnr_db: finite(total.sqnr_db),
            rmse: total.rmse,
            max_error: total.max_error,
            tensors: tensors.collect(),
        }
    }
}
