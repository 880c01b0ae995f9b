//! `qmill bench`: how fast operations and models are on this machine.

mod common;
mod earlier;
mod merge;
mod models;
mod numbers;
mod operation_record;
mod operations;
mod output;
mod peaks;
mod read;
mod record;
mod system;

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
/// Lists are separated by commas, or the option is repeated; all combinations are measured.
///
/// The result of each operation is first compared with the CPU reference. Weights rotate through copies that
/// do not fit into any cache. GB/s count weights in the size that a file has, vectors and results. The shares
/// are those of the device's own peaks, measured in the same run: of memory, reading for products, and the
/// fastest of reading, writing and copying for conversions; of arithmetic, f32 multiply-adds for exact
/// products, and for int8 products the fastest int8 arithmetic of the device. A share above 100 % has a mark:
/// then the peak or --cache is wrong.
///
/// Repetitions of the kernels for one product take turns. Peaks are measured before and after; if one has
/// moved by more than a tenth, a warning says so. Rows of -o md appear as they are measured. Records of the
/// other formats have both peaks, so they appear at the end of each device. Ctrl-C stops after the present
/// product, and what was measured is printed.
///
/// A test of a model is a prompt (pp512), tokens generated one by one (tg128), or both in sequence
/// (pp512+tg128), in a context that is empty or filled before (@ d4096). The tokenizer and the sampler are
/// not measured. Repetitions of a model's tests take turns, as long as their contexts together have at most
/// 16384 tokens. The options are those of llama-bench; -pg, -ub, -ctk, -ctv and -dev are accepted for the
/// long forms.
///
/// --merge measures nothing: it puts the outputs of several machines side by side.
#[derive(Args)]
pub(crate) struct Bench {
    /// Models to measure instead of operations; the first file of a split model
    #[arg(short, long, value_name = "LIST", value_delimiter = ',')]
    model: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// Print the outputs of several machines side by side; FILES are outputs as json, jsonl or csv, all of
    /// operations or all of models. -o is md, or html for a page with pictures
    #[arg(long, value_name = "FILES", num_args = 1..)]
    #[arg(conflicts_with_all = ["model", "device", "repetitions", "threads", "compare", "Operations"])]
    merge: Vec<PathBuf>,
    /// List the devices and exit
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
        if !self.merge.is_empty() {
            return merge::run(&self.merge, self.common.output);
        }
        self.common.check_output()?;
        if self.model.is_empty() {
            self.operations.run(&self.common)
        } else {
            self.models.run(&self.model, &self.common)
        }
    }
}

/// Replaces llama-bench's options of several letters after one dash, which clap would read as several options
/// of one letter.
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
