//! Options and helpers of the commands that run a model.

use super::auto::{self, Job};
use super::failure::Failure;
use super::show;
use super::words::{self, Words};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use qmill::gguf;
use qmill::gpu::{DeviceChoice, Precision};
use qmill::llm::{Config, LoadOptions, Model, Tokenizer};
use qmill::mix::FileType;
use qmill::{Device, Format};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

#[derive(Args)]
pub(super) struct ModelOptions {
    /// The model; the first file of a split model
    #[arg(short, long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// Quantize the weights to this type while loading, as `qmill quantize` does; no file is written
    #[arg(long, value_name = "TYPE", value_parser = Words::<FileType>::of(words::file_types))]
    #[arg(hide_possible_values = true)]
    quantize: Option<FileType>,
    /// Device: auto is a GPU if there is one, and else the faster of the CPU and a software adapter; gpu may
    /// be a software adapter; cpu, or a number or name from `qmill devices`
    #[arg(long, value_name = "auto|cpu|gpu|INDEX|NAME", default_value = "auto")]
    #[arg(value_parser = Words::<DeviceChoice>::of(words::devices), hide_possible_values = true)]
    device: DeviceChoice,
    /// Do not round activations to eight bits in products; slower, and on the CPU the reference
    #[arg(long)]
    exact: bool,
    /// Threads, if the CPU computes; 0 or -1 means all cores
    #[arg(short, long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    #[arg(value_parser = none_or_count)]
    threads: Count,
    /// The most tokens that the model computes together
    #[arg(short, long, value_name = "N", default_value_t = LoadOptions::default().batch)]
    batch_size: usize,
    /// Format of the keys in the KV cache: F16 or F32
    #[arg(long, value_name = "FORMAT", default_value_t = LoadOptions::default().cache_keys)]
    cache_type_k: Format,
    /// Format of the values in the KV cache: F16 or F32
    #[arg(long, value_name = "FORMAT", default_value_t = LoadOptions::default().cache_values)]
    cache_type_v: Format,
}

/// A count; `None` for a number that means no limit in llama.cpp.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(pub(super) Option<usize>);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            Some(count) => count.fmt(f),
            None => f.write_str("-1"),
        }
    }
}

/// Reads a count; 0 and negative numbers mean no limit.
pub(super) fn none_or_count(text: &str) -> Result<Count, String> {
    let number: i64 = text.parse().map_err(|_| format!("{text:?} is no integer"))?;
    Ok(Count(usize::try_from(number).ok().filter(|&number| number > 0)))
}

/// Reads a count; negative numbers mean no limit.
pub(super) fn count_or_none(text: &str) -> Result<Count, String> {
    let number: i64 = text.parse().map_err(|_| format!("{text:?} is no integer"))?;
    Ok(Count(usize::try_from(number).ok()))
}

/// A model with its tokenizer, and the time to load them.
pub(super) struct Loaded {
    pub(super) model: Model,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) seconds: f64,
}

impl ModelOptions {
    pub(super) fn open_device(&self) -> Result<Device, Failure> {
        auto::open_with_note(&self.device, Job::Multiply(self.precision()))
    }

    /// Loads the model with a context of `context` tokens; 0 means the length that it was trained for.
    pub(super) fn load(&self, device: &Device, context: Option<usize>) -> Result<Loaded, Failure> {
        let start = Instant::now();
        let file = gguf::Model::open(&self.model)?;
        let trained = Config::new(&file)?.trained_context;
        let context = context.map(|context| if context == 0 { trained } else { context });
        if let Some(context) = context.filter(|&context| context > trained) {
            warn(format!(
                "a context of {context} tokens is longer than the {trained} that the model was trained for"
            ));
        }
        let options = self.options(device, context).with_quantize(self.quantize);
        let model = load(&file, &options)?;
        let tokenizer = Tokenizer::new(model.metadata())?;
        tokenizer.warnings().iter().for_each(warn);
        Ok(Loaded { model, tokenizer: Arc::new(tokenizer), seconds: start.elapsed().as_secs_f64() })
    }

    /// Loads another model, without quantizing it.
    pub(super) fn load_other(&self, path: &Path, device: &Device, context: usize) -> Result<Model, Failure> {
        load(&gguf::Model::open(path)?, &self.options(device, Some(context)))
    }

    fn precision(&self) -> Precision {
        if self.exact { Precision::Exact } else { Precision::Int8 }
    }

    /// The options for loading a model as it is in its file.
    pub(super) fn options(&self, device: &Device, context: Option<usize>) -> LoadOptions {
        LoadOptions::default()
            .with_device(device.clone())
            .with_context(context)
            .with_precision(self.precision())
            .with_batch(self.batch_size)
            .with_threads(self.threads.0)
            .with_cache_keys(self.cache_type_k)
            .with_cache_values(self.cache_type_v)
    }
}

/// Loads a model with a progress bar.
fn load(file: &gguf::Model, options: &LoadOptions) -> Result<Model, Failure> {
    // Hidden if the standard error is not a terminal.
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("loading {wide_bar} {bytes} of {total_bytes}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let model = Model::from_gguf_with(file, options, &mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let model = model?;
    model.warnings().iter().for_each(warn);
    Ok(model)
}

/// Prints a warning to the standard error.
pub(super) fn warn(text: impl AsRef<str>) {
    eprintln!("qmill: warning: {}", text.as_ref());
}

/// Prints a note to the standard error.
pub(super) fn note(text: impl AsRef<str>) {
    eprintln!("qmill: note: {}", text.as_ref());
}

/// Decodes UTF-8. Invalid bytes become U+FFFD, with one note that names their `source`.
pub(super) fn lossy<'a>(bytes: &'a [u8], source: &str, is_noted: &mut bool) -> Cow<'a, str> {
    let text = String::from_utf8_lossy(bytes);
    if matches!(text, Cow::Owned(_)) && !std::mem::replace(is_noted, true) {
        note(format!("{source} has bytes that are no UTF-8; they become U+FFFD"));
    }
    text
}

/// Stores compiled pipelines for the next start.
pub(super) fn store_pipelines(device: &Device) {
    if let Device::Gpu(gpu) = device {
        gpu.store_pipelines();
    }
}

/// `83.1 MiB in the file, 5.21 bits per weight; 83.1 MiB of weights and 90.0 MiB for the context on DEVICE`.
pub(super) fn sizes(model: &Model) -> String {
    format!(
        "{} in the file, {:.2} bits per weight; {} of weights and {} for the context on {}",
        show::bytes(model.file_bytes()),
        bits_per_weight(model),
        show::bytes(model.device_bytes()),
        show::bytes(model.cache_bytes()),
        model.device(),
    )
}

pub(super) fn add_sizes(object: &mut Value, model: &Model) {
    object["device"] = json!(model.device().to_string());
    object["file_bytes"] = json!(model.file_bytes());
    object["bits_per_weight"] = json!(bits_per_weight(model));
    object["device_bytes"] = json!(model.device_bytes());
    object["context_bytes"] = json!(model.cache_bytes());
}

/// Bits per weight in the file.
fn bits_per_weight(model: &Model) -> f64 {
    model.file_bytes() as f64 * 8.0 / model.parameters() as f64
}
