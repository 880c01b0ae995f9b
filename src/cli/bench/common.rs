//! The options that operations and models share.

use super::output::Style;
use crate::cli::failure::Failure;
use crate::cli::words::{self, Words};
use clap::Args;
use qmill::bench::Settings;
use qmill::gpu::DeviceChoice;
use std::path::PathBuf;

/// The options for operations and for models.
#[derive(Args)]
pub(super) struct Common {
    /// auto, gpu, cpu, or numbers or names from `qmill devices`
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "auto")]
    #[arg(value_parser = Words::<DeviceChoice>::of(words::devices), hide_possible_values = true)]
    pub(super) device: Vec<DeviceChoice>,
    /// Repetitions that count
    #[arg(short, long, value_name = "N", default_value_t = Settings::default().repetitions)]
    pub(super) repetitions: usize,
    /// What to print
    #[arg(short, long, value_enum, default_value_t = Style::Md)]
    pub(super) output: Style,
    /// Print how many times as fast each is as in this file, an earlier output as json, jsonl or csv
    #[arg(long, value_name = "FILE")]
    pub(super) compare: Option<PathBuf>,
}

/// The error if the options leave nothing to measure.
pub(super) fn nothing() -> Failure {
    Failure::Usage("there is nothing to measure".to_owned())
}
