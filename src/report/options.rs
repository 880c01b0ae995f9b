//! What a report measures, and how far it has come.

use super::data::Cases;
use super::kind::Kind;
use crate::eval::Chunks;
use crate::llm::LoadOptions;
use std::path::PathBuf;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The types.
    pub kinds: Vec<Kind>,
    /// The tokens of the text.
    pub text: Vec<u32>,
    /// The text's name.
    pub text_name: String,
    /// How it is cut into chunks.
    pub chunks: Chunks,
    /// The devices; quality is measured on the first.
    pub devices: Vec<Device>,
    /// How models are loaded, but for device, context and types.
    pub load: LoadOptions,
    /// How speed is measured; `None` to leave it out.
    pub cases: Option<Cases>,
    /// Types of a base that is quantized already; the errors add up.
    pub allow_requantize: bool,
    /// See [`Report::memory_limit`](super::Report::memory_limit).
    pub memory_limit: Option<u64>,
    /// Where the base's predictions are kept.
    pub keep: Keep,
}

/// A device, with the name that it has in a report.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// The device.
    pub device: crate::Device,
}

/// Where the base's predictions are kept.
#[derive(Clone, Debug)]
pub enum Keep {
    /// In this file, which is used if it exists, and stays.
    File(PathBuf),
    /// As [`Keep::File`]; predictions of another base or text are replaced.
    FileOrReplace(PathBuf),
    /// In this file, which is removed as soon as it is open, or at the end where the system cannot do that.
    Temporary(PathBuf),
}

/// What a report does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// Computes the error of the weights.
    Error,
    /// Loads, and quantizes meanwhile.
    Load,
    /// Predicts the text.
    Predict,
    /// Measures speed and memory.
    Speed,
}

/// How far a report has come. Reported before each stage and after each chunk.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The name of the row.
    pub row: &'a str,
    /// What it does next.
    pub stage: Stage,
    /// Tokens that have gone through models, each generated one counted as several of a prompt.
    pub done: u64,
    /// The tokens of the whole report.
    pub total: u64,
}
