//! `qmill report`: what every type costs, on one page.

mod output;

use super::auto::{self, Job};
use super::failure::Failure;
use super::model::{self, Count};
use super::words::{self, Words};
use super::{device, show};
use clap::Args;
use output::{Bar, Folder};
use qmill::gguf;
use qmill::gpu::{DeviceChoice, Precision};
use qmill::llm::{Config, LoadOptions, Tokenizer};
use qmill::report::{self, Cases, Device, Keep, Kind, Options};
use qmill::{Error, eval};
use std::borrow::Cow;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::{env, process, thread};

/// The text that is read without `-f`: the beginning of a play by Shakespeare.
static TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/held-out.txt"));
const TEXT_NAME: &str = "20 kB of Shakespeare inside the program";
/// Tokens of a text that are read by default.
const TEXT_TOKENS: usize = 4096;
/// Tokens of a chunk by default, if the model was trained for as many.
const CHUNK_TOKENS: usize = 512;

/// Shows what a model costs in several types: size, error, quality, speed and memory.
///
/// The types are made in memory, as `qmill quantize` makes them. Quality is measured as `qmill perplexity
/// --base` does, speed as `qmill bench -m` does, and the error of the weights as `qmill compare` does. -o
/// writes report.md, report.json, report.html and the base's predictions, which a second run uses again.
/// --merge joins the report.json of several machines.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "a flag is a bool")]
pub(crate) struct Report {
    /// The base, such as the F16 model; the first file of a split model
    #[arg(short, long, value_name = "BASE", required_unless_present = "merge")]
    model: Option<PathBuf>,
    /// The types; like:TYPE chooses each tensor's format for that type's size
    #[arg(long, value_name = "LIST", value_delimiter = ',', hide_possible_values = true)]
    #[arg(default_value = "Q8_0,Q6_K,Q5_K_M,Q4_K_M,like:Q4_K_M,Q3_K_M")]
    #[arg(value_parser = Words::<Kind>::of(words::file_types))]
    types: Vec<Kind>,
    /// The file with the text [default: 20 kB of Shakespeare inside the program]
    #[arg(short, long, value_name = "TEXT")]
    file: Option<PathBuf>,
    /// Tokens in a chunk; 0 means the context that the model was trained for [default: 512, or that context
    /// if it is less]
    #[arg(short, long, value_name = "N")]
    ctx: Option<usize>,
    /// The most chunks to evaluate; 0 or -1 means all [default: 4096 tokens of them]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = model::none_or_count)]
    chunks: Option<Count>,
    /// Devices: quality is measured on the first, speed on each. auto is a GPU if there is one; without, a
    /// software adapter, which reads prompts faster than the CPU reference, or else the CPU
    #[arg(long, value_name = "auto|cpu|gpu|INDEX|NAME", value_delimiter = ',', default_value = "auto")]
    #[arg(value_parser = Words::<DeviceChoice>::of(words::devices), hide_possible_values = true)]
    device: Vec<DeviceChoice>,
    /// Folder for report.md, report.json, report.html and base.logits; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace a report in the folder, and predictions of another base or text
    #[arg(long)]
    force: bool,
    /// Weights and KV cache may take this much: the best type within it is named
    #[arg(long, value_name = "SIZE", value_parser = show::parse_bytes)]
    memory_limit: Option<u64>,
    /// Tokens of the prompt whose speed is measured; 0 leaves it out
    #[arg(short = 'p', long, value_name = "N", default_value_t = 128)]
    n_prompt: usize,
    /// Tokens generated to measure the speed; 0 leaves it out
    #[arg(short = 'n', long, value_name = "N", default_value_t = 32)]
    n_gen: usize,
    /// Repetitions of each measurement of speed
    #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = at_least_one)]
    repetitions: usize,
    /// Do not round activations to eight bits in products; slower, and on the CPU the reference
    #[arg(long)]
    exact: bool,
    /// Threads, if the CPU computes; 0 or -1 means all cores
    #[arg(short, long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    #[arg(value_parser = model::none_or_count)]
    threads: Count,
    /// Take a base that is quantized already; the errors add up
    #[arg(long)]
    allow_requantize: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Join these reports, of the same base and text, instead of measuring
    #[arg(long, value_name = "JSON", num_args = 1.., conflicts_with_all = ["model", "file", "types"])]
    merge: Vec<PathBuf>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| format!("{text:?} is no number from 1 on"))
}

impl Report {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let folder = self.out.as_ref().map(|path| Folder::new(path, self.force)).transpose()?;
        let report = match &self.model {
            Some(model) => self.measure(model, folder.as_ref())?,
            None => self.merged()?,
        };
        if let Some(folder) = &folder {
            folder.write(&report)?;
        }
        let mut out = io::stdout().lock();
        if self.json {
            out.write_all(report.to_json().as_bytes())?;
        } else {
            out.write_all(report::terminal_table(&report).as_bytes())?;
            if let Some(folder) = &folder {
                writeln!(out, "\nWritten: {}", folder.names())?;
            }
        }
        Ok(())
    }

    fn measure(&self, path: &PathBuf, folder: Option<&Folder>) -> Result<report::Report, Failure> {
        let base = gguf::Model::open(path)?;
        let options = self.options(&base, folder)?;
        let mut bar = Bar::new()?;
        let report = report::measure(&base, &options, &mut |progress| bar.show(progress));
        bar.finish();
        options.devices.iter().for_each(|device| model::store_pipelines(&device.device));
        match (report, folder) {
            (Err(Error::Cancelled), Some(folder)) if folder.logits().exists() => {
                eprintln!("qmill: interrupted; {} is complete and stays", folder.logits().display());
                Err(Failure::Interrupted)
            }
            (report, _) => Ok(report?),
        }
    }

    fn options(&self, base: &gguf::Model, folder: Option<&Folder>) -> Result<Options, Failure> {
        let trained = Config::new(base)?.trained_context;
        let tokenizer = Tokenizer::new(base.metadata())?;
        let (text, text_name) = self.text()?;
        let ctx = match self.ctx {
            None => CHUNK_TOKENS.min(trained),
            Some(0) => trained,
            Some(ctx) => ctx,
        };
        let limit = self.chunks.map_or(Some((TEXT_TOKENS / ctx.max(1)).max(1)), |chunks| chunks.0);
        let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
        let precision = if self.exact { Precision::Exact } else { Precision::Int8 };
        let keep = match folder {
            Some(folder) if self.force => Keep::FileOrReplace(folder.logits()),
            Some(folder) => Keep::File(folder.logits()),
            None => Keep::Temporary(env::temp_dir().join(format!("qmill-{}.logits", process::id()))),
        };
        let cases = Cases { prompt: self.n_prompt, generated: self.n_gen, repetitions: self.repetitions };
        Ok(Options {
            kinds: self.types.clone(),
            text: tokenizer.prompt(&text),
            text_name,
            chunks: eval::Chunks { tokens: ctx, limit, bos },
            devices: self.devices(precision)?,
            load: LoadOptions::default().with_precision(precision).with_threads(self.threads.0),
            cases: (cases.prompt + cases.generated > 0).then_some(cases),
            allow_requantize: self.allow_requantize,
            memory_limit: self.memory_limit,
            keep,
        })
    }

    /// The text and its name.
    fn text(&self) -> Result<(Cow<'static, str>, String), Failure> {
        let Some(path) = &self.file else {
            model::note(format!("the text is {TEXT_NAME}; -f TEXT measures on yours"));
            return Ok((Cow::Borrowed(TEXT), TEXT_NAME.to_owned()));
        };
        let (named, action) = (path.clone(), "read");
        let bytes = fs::read(path).map_err(|source| Error::Io { path: named, action, source })?;
        let text = model::lossy(&bytes, &path.display().to_string(), &mut false).into_owned();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok((Cow::Owned(text), name))
    }

    fn devices(&self, precision: Precision) -> Result<Vec<Device>, Failure> {
        let open = |choice: &DeviceChoice| {
            let opened = auto::open_with_note(choice, Job::Multiply(precision))?;
            let threads = self.threads.0.or(thread::available_parallelism().ok().map(usize::from));
            let name = match &opened {
                qmill::Device::Cpu => {
                    format!("CPU ({}, {} threads)", device::cpu_name(), threads.unwrap_or(1))
                }
                qmill::Device::Gpu(gpu) => gpu.name().to_owned(),
            };
            Ok(Device { name, device: opened })
        };
        self.device.iter().map(open).collect()
    }

    fn merged(&self) -> Result<report::Report, Failure> {
        let read = |path: &PathBuf| {
            let json = fs::read_to_string(path).map_err(|source| {
                let path = path.clone();
                Error::Io { path, action: "read", source }
            })?;
            Ok((path.clone(), report::Report::from_json(&json, path)?))
        };
        let reports = self.merge.iter().map(read).collect::<qmill::Result<Vec<_>>>()?;
        Ok(report::merge(&reports)?)
    }
}
