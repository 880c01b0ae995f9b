//! `qmill bench`: how fast operations and models are on this machine.

mod common;
mod earlier;
mod models;
mod numbers;
mod operations;
mod output;
mod record;

use super::devices;
use super::failure::Failure;
use clap::Args;
use common::Common;
use models::Models;
use operations::Operations;
pub(super) use operations::{Formats, Shape};
use std::ffi::OsString;
use std::path::PathBuf;

/// Measures operations on quantized weights, or with -m models, as llama-bench does.
///
/// Every list may be given with commas or by repeating the option; all combinations are measured.
///
/// Of an operation, the answer is first checked against the CPU's. Weights rotate through copies that no cache holds. GB/s count
/// weights as a file holds them, vectors and results; the shares are those of the device's own peaks, measured in the same run: of
/// reading for products and of copying for conversions (memory), and of f32 multiply-add (compute).
///
/// Of a model, a test is a prompt (pp512), tokens generated one by one (tg128), or one after the other (pp512+tg128), in a context
/// that is empty or filled before (@ d4096). Neither tokenizer nor sampler are measured. The words are those of llama-bench, with
/// -pg, -ub, -ctk, -ctv and -dev for the long forms.
#[derive(Args)]
pub(crate) struct Bench {
    /// Models to measure, in place of operations; of a split model the first file
    #[arg(short, long, value_name = "LIST", value_delimiter = ',')]
    model: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// List what --device can name, and end
    #[arg(long)]
    list_devices: bool,
    #[command(flatten)]
    models: Models,
    #[command(flatten)]
    operations: Operations,
}

impl Bench {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.list_devices {
            return devices::list();
        }
        if self.model.is_empty() {
            self.operations.run(&self.common)
        } else {
            self.models.run(&self.model, &self.common)
        }
    }
}

/// Replaces llama-bench's words of several letters after one dash, which elsewhere are several words of one letter.
pub(super) fn with_long_words(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    const WORDS: [(&str, &str); 5] = [
        ("-pg", "--pg"),
        ("-ub", "--ubatch-size"),
        ("-ctk", "--cache-type-k"),
        ("-ctv", "--cache-type-v"),
        ("-dev", "--device"),
    ];
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|command| command == "bench") {
        for argument in &mut arguments[2..] {
            if let Some((_, long)) = WORDS.iter().find(|(short, _)| argument == short) {
                *argument = OsString::from(long);
            }
        }
    }
    arguments
}
