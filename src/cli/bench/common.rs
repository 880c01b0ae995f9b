//! The options that operations and models share.

use super::numbers::{Range, numbers};
use super::output::Style;
use crate::cli::failure::Failure;
use crate::cli::words::{self, Words};
use clap::Args;
use qmill::bench::Settings;
use qmill::gpu::DeviceChoice;
use std::path::PathBuf;
use std::thread;

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
    /// Threads, if the CPU computes [default: all cores]
    #[arg(short, long, value_name = "LIST", value_delimiter = ',')]
    pub(super) threads: Vec<Range>,
    /// Print the speed-up over an earlier run, or over another device; FILE is its output as json, jsonl or
    /// csv. Each device in it has a column
    #[arg(long, value_name = "FILE")]
    pub(super) compare: Option<PathBuf>,
}

impl Common {
    /// Numbers of threads on the CPU.
    pub(super) fn thread_counts(&self) -> Vec<Option<usize>> {
        if self.threads.is_empty() {
            return vec![thread::available_parallelism().ok().map(usize::from)];
        }
        numbers(&self.threads).into_iter().map(Some).collect()
    }

    /// Fails for an output format that no measurement has.
    pub(super) fn check_output(&self) -> Result<(), Failure> {
        if self.output == Style::Html {
            return Err(Failure::Usage("-o html is for --merge; measurements have -o md".to_owned()));
        }
        Ok(())
    }
}

/// The error if the options leave nothing to measure.
pub(super) fn nothing() -> Failure {
    Failure::Usage("there is nothing to measure".to_owned())
}
