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
    /// Number of measured repetitions
    #[arg(short, long, value_name = "N", default_value_t = Settings::default().repetitions)]
    pub(super) repetitions: usize,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = Style::Md)]
    pub(super) output: Style,
    /// Print the speed-up over an earlier run; FILE is its output as json, jsonl or csv
    #[arg(long, value_name = "FILE")]
    pub(super) compare: Option<PathBuf>,
}

/// The error if the options leave nothing to measure.
pub(super) fn nothing() -> Failure {
    Failure::Usage("there is nothing to measure".to_owned())
}
