//! `qmill quantize` and `qmill dequantize`.

mod progress;

use super::failure::{Failure, on_one_line};
use super::words::{self, Words};
use super::{device, show};
use clap::{Args, ValueEnum};
use progress::Reporter;
use qmill::error::{OutputFault, RequestFault};
use qmill::gguf::{self, Model, Value};
use qmill::gpu::DeviceChoice;
use qmill::mix::{FileType, Options, TensorRule};
use qmill::stream::{Existing, Plan, Request, Resources, Verify};
use qmill::{Device, Format};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Quantizes a GGUF model, byte for byte as llama-quantize does.
///
/// TYPE is a file type such as `Q4_K_M` (`qmill formats` lists them), or COPY. Without OUT the file is
/// written beside IN, as NAME-TYPE.gguf. It appears under its name only when it is complete; a device, a pipe
/// or /dev/stdout is written directly. THREADS is the same as --threads.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "a flag is a bool")]
#[command(override_usage = "qmill quantize [OPTIONS] <IN> [OUT] <TYPE> [THREADS]")]
pub(crate) struct Quantize {
    /// The model; the first file of a split model
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write, the file type, and a number of threads
    #[arg(value_name = "[OUT] TYPE [THREADS]", required = true, num_args = 1..=3)]
    #[arg(allow_negative_numbers = true)]
    #[arg(value_parser = words::Offering(words::file_types), hide_possible_values = true)]
    rest: Vec<OsString>,

    /// Give every tensor the default format of the type, without exceptions
    #[arg(long)]
    pure: bool,
    /// Quantize tensors that are quantized already; the errors add up
    #[arg(long)]
    allow_requantize: bool,
    /// Keep output.weight as it is
    #[arg(long)]
    leave_output_tensor: bool,
    /// Format of output.weight
    #[arg(long, value_name = "FORMAT", value_parser = Words::<Format>::of(words::formats))]
    #[arg(hide_possible_values = true)]
    output_tensor_type: Option<Format>,
    /// Format of the token embedding
    #[arg(long, value_name = "FORMAT", value_parser = Words::<Format>::of(words::formats))]
    #[arg(hide_possible_values = true)]
    token_embedding_type: Option<Format>,
    /// Format of the tensors whose name the pattern matches anywhere; the first match applies
    #[arg(long, value_name = "REGEX=FORMAT", value_parser = parse_rule)]
    tensor_type: Vec<TensorRule>,
    /// File with such rules, separated by white space
    #[arg(long, value_name = "FILE")]
    tensor_type_file: Option<PathBuf>,
    /// Set a metadata value: KEY=int:1, KEY=float:0.5, KEY=bool:true, KEY=str:TEXT
    #[arg(long, value_name = "KEY=TYPE:VALUE", value_parser = parse_override)]
    override_kv: Vec<(String, Value)>,
    /// Layers to leave out, counted from 0
    #[arg(long, value_name = "L0,L1,…", value_delimiter = ',')]
    prune_layers: Vec<u32>,
    /// Write as many files as a split model has
    #[arg(long)]
    keep_split: bool,
    #[command(flatten)]
    run: RunOptions,

    /// llama-quantize's option for --memory, in MiB
    #[arg(long, hide = true, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    max_buffer_size: Option<u64>,

    // llama-quantize's options that qmill does not support.
    #[arg(long, hide = true, value_name = "FILE")]
    imatrix: Option<PathBuf>,
    #[arg(long, hide = true, value_name = "NAME")]
    include_weights: Vec<String>,
    #[arg(long, hide = true, value_name = "NAME")]
    exclude_weights: Vec<String>,

    // Options of llama.cpp's other programs. They always fail to parse, and the error says what to use
    // instead.
    #[arg(short = 'o', long = "outfile", alias = "output", hide = true, value_name = "OUT")]
    #[arg(value_parser = no_output)]
    _outfile: Option<Never>,
    #[arg(long = "outtype", alias = "type", hide = true, value_name = "TYPE", value_parser = no_type)]
    _outtype: Option<Never>,
    #[arg(long = "override-tensor", hide = true, value_name = "PATTERN", value_parser = no_override)]
    _override_tensor: Option<Never>,
}

/// The value of an option that is always refused.
#[derive(Clone)]
enum Never {}

fn no_output(value: &str) -> Result<Never, String> {
    // clap parses `-ot` as `-o` with the value `t`.
    match value {
        "t" => no_override(value),
        _ => Err("the output is named without a flag: qmill quantize IN OUT TYPE".to_owned()),
    }
}

fn no_type(_: &str) -> Result<Never, String> {
    Err("the type is named without a flag: qmill quantize IN OUT TYPE".to_owned())
}

fn no_override(_: &str) -> Result<Never, String> {
    Err("-ot places tensors on devices when llama.cpp runs a model; \
         --tensor-type REGEX=FORMAT chooses formats, and --device where to compute"
        .to_owned())
}

/// Converts a GGUF model to floats, like `llama-quantize --allow-requantize IN OUT F16`.
#[derive(Args)]
pub(crate) struct Dequantize {
    /// The model; the first file of a split model
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// F32, F16 or BF16
    #[arg(value_name = "TYPE", default_value = "F16", value_parser = parse_float_type)]
    file_type: FileType,
    #[command(flatten)]
    run: RunOptions,
}

/// Options of both subcommands.
#[derive(Args)]
struct RunOptions {
    /// Device: auto is a GPU if there is one, gpu may be a software adapter, cpu, or a number or name from
    /// `qmill devices`. All give the same bytes
    #[arg(long, value_name = "auto|cpu|gpu|INDEX|NAME", default_value = "auto")]
    #[arg(value_parser = Words::<DeviceChoice>::of(words::devices), hide_possible_values = true)]
    device: DeviceChoice,
    /// Compare a sixteenth or all of the GPU's output with the CPU reference; a difference is an error
    #[arg(long, value_name = "sample|all", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "sample")]
    verify: Option<VerifyChoice>,
    /// Threads that convert; 0 means all cores [default: all cores]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = show::parse_threads)]
    threads: Option<usize>,
    /// Memory for buffers; K, M and G are binary
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = show::parse_bytes)]
    memory: u64,
    /// Replace an existing output; for a symbolic link, its target
    #[arg(long)]
    force: bool,
    /// Print what would be done, from the header alone
    #[arg(long)]
    dry_run: bool,
    /// Print JSON: a line for every tensor and one for the result, or one object with --dry-run
    #[arg(long)]
    json: bool,
}

/// The values of `--verify`.
#[derive(Clone, Copy, ValueEnum)]
enum VerifyChoice {
    Sample,
    All,
}

impl Quantize {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.imatrix.is_some() || !self.include_weights.is_empty() || !self.exclude_weights.is_empty() {
            let message = "qmill quantizes without calibration data: \
                           --imatrix, --include-weights and --exclude-weights are not taken";
            return Err(Failure::Usage(message.to_owned()));
        }
        let Positional { output, file_type, threads } = Positional::parse(&self.input, &self.rest)?;
        let memory = self.max_buffer_size.map_or(self.run.memory, |mib| mib.saturating_mul(1 << 20));
        let mut rules = self.tensor_type;
        if let Some(path) = &self.tensor_type_file {
            let text = fs::read_to_string(path).map_err(|source| {
                let path = path.clone();
                qmill::Error::Io { path, action: "read", source }
            })?;
            for rule in text.split_whitespace() {
                rules.push(rule.parse()?);
            }
        }
        let mix = Options::default()
            .with_pure(self.pure)
            .with_leave_output_tensor(self.leave_output_tensor)
            .with_output_tensor_type(self.output_tensor_type)
            .with_token_embedding_type(self.token_embedding_type)
            .with_tensor_types(rules);
        let request = Request::new(file_type)
            .with_mix(mix)
            .with_allow_requantize(self.allow_requantize)
            .with_metadata(self.override_kv)
            .with_prune_layers(BTreeSet::from_iter(self.prune_layers))
            .with_keep_split(self.keep_split)
            .with_verify(self.run.verify());
        let run = RunOptions { threads: self.run.threads.or(threads), memory, ..self.run };
        run.run(&self.input, &output, &request).map_err(|failure| hinted(failure, true))
    }
}

impl Dequantize {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let request = Request::new(self.file_type).with_allow_requantize(true).with_verify(self.run.verify());
        self.run.run(&self.input, &self.output, &request).map_err(|failure| hinted(failure, false))
    }
}

/// Adds a hint to the options of these subcommands.
fn hinted(failure: Failure, may_forbid_requantizing: bool) -> Failure {
    use qmill::Error;
    let hint = match &failure {
        Failure::Qmill(Error::Output { fault: OutputFault::Exists, .. }) => "; --force replaces it",
        Failure::Qmill(Error::Output { fault: OutputFault::InUse, .. }) => {
            "; wait for it, or name another output"
        }
        Failure::Qmill(Error::Request(RequestFault::Requantize { .. })) if may_forbid_requantizing => {
            "; --allow-requantize does it all the same"
        }
        Failure::Qmill(Error::Memory { .. }) => "; --memory allows more",
        _ => return failure,
    };
    Failure::Hinted(Box::new(failure), hint)
}

impl RunOptions {
    fn verify(&self) -> Verify {
        match self.verify {
            None => Verify::Off,
            Some(VerifyChoice::Sample) => Verify::Sample,
            Some(VerifyChoice::All) => Verify::All,
        }
    }

    fn run(&self, input: &Path, output: &Path, request: &Request) -> Result<(), Failure> {
        let model = Model::open(input)?;
        let plan = Plan::new(&model, request)?;
        let mut reporter = Reporter::new(self.json, &plan, output)?;
        if self.dry_run {
            return reporter.dry_run(&plan);
        }
        let device = Device::open(&self.device, device::cache_folder().as_deref())?;
        if plan.verify != Verify::Off && matches!(device, Device::Cpu) {
            eprintln!("qmill: note: --verify has nothing to compare: the CPU computes");
        }
        let mut resources = Resources::default().with_device(device).with_memory_bytes(self.memory);
        if let Some(threads) = self.threads.and_then(NonZeroUsize::new) {
            resources.threads = threads;
        }
        let existing = if self.force { Existing::Replace } else { Existing::Refuse };
        let report =
            plan.write_files(&model, output, &resources, existing, &mut |progress| reporter.report(progress));
        if let Device::Gpu(gpu) = &resources.device {
            gpu.store_pipelines();
        }
        reporter.finish(report)
    }
}

/// `[OUT] TYPE [THREADS]`, distinguished as in llama-quantize: an argument that is a type is the type.
struct Positional {
    output: PathBuf,
    file_type: FileType,
    threads: Option<usize>,
}

impl Positional {
    fn parse(input: &Path, rest: &[OsString]) -> Result<Self, Failure> {
        let (output, file_type, threads) = match rest {
            [file_type] => (None, file_type, None),
            [file_type, threads] if is_type(file_type) && !is_type_name(threads) => {
                (None, file_type, Some(threads))
            }
            [output, file_type] => {
                refuse_mistyped(output, file_type)?;
                (Some(output), file_type, None)
            }
            [output, file_type, threads, ..] => (Some(output), file_type, Some(threads)),
            [] => unreachable!("clap asks for one at least"),
        };
        let file_type: FileType = file_type.to_string_lossy().parse()?;
        let threads =
            threads.map(|text| show::parse_threads(&text.to_string_lossy()).map_err(Failure::Usage));
        let output = output.map_or_else(|| default_output(input, file_type), PathBuf::from);
        Ok(Self { output, file_type, threads: threads.transpose()? })
    }
}

/// Whether an argument is a type, including those that qmill cannot write.
fn is_type(word: &OsStr) -> bool {
    use qmill::Error::{NotEncoded, Request};
    matches!(
        word.to_string_lossy().parse::<FileType>(),
        Ok(_) | Err(Request(RequestFault::NeedsImatrix { .. }) | NotEncoded { .. })
    )
}

/// Refuses an argument that is similar to a type and not a path, followed by what may be a number of threads.
fn refuse_mistyped(word: &OsStr, number: &OsStr) -> Result<(), Failure> {
    let is_number = number.to_string_lossy().parse::<i64>().is_ok();
    let is_path = Path::new(word).extension().is_some() || Path::new(word).components().count() > 1;
    let name = word.to_string_lossy();
    match words::nearest(&name, words::file_types()) {
        Some(meant) if is_number && !is_path => {
            Err(Failure::Usage(format!("{name:?} is no file type; did you mean {meant}?")))
        }
        _ => Ok(()),
    }
}

/// Whether an argument is the name of a type.
fn is_type_name(word: &OsStr) -> bool {
    word.to_string_lossy().parse::<i64>().is_err() && is_type(word)
}

/// `NAME-TYPE.gguf` beside the input, without the number of a split model's file.
fn default_output(input: &Path, file_type: FileType) -> PathBuf {
    // After any other dot, the rest is part of the name, as in llama-3.1.
    let is_gguf = input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let name = if is_gguf { input.file_stem() } else { input.file_name() };
    let mut name = gguf::split_name(input).unwrap_or_else(|| name.unwrap_or_default().to_owned());
    name.push(format!("-{file_type}.gguf"));
    input.with_file_name(name)
}

fn parse_float_type(text: &str) -> Result<FileType, String> {
    match text.parse() {
        Ok(file_type @ (FileType::F32 | FileType::F16 | FileType::BF16)) => Ok(file_type),
        _ => Err("a model is dequantized to F32, F16 or BF16".to_owned()),
    }
}

/// Parses a rule. clap prints errors without their causes.
fn parse_rule(text: &str) -> Result<TensorRule, String> {
    text.parse().map_err(|error: qmill::Error| on_one_line(&error))
}

/// Parses a metadata value. As in llama-quantize, an integer is stored as the u32 of its magnitude.
fn parse_override(text: &str) -> Result<(String, Value), String> {
    let shape = || "expected KEY=int:1, KEY=float:0.5, KEY=bool:true or KEY=str:TEXT".to_owned();
    let (key, typed) = text.split_once('=').ok_or_else(shape)?;
    let (kind, value) = typed.split_once(':').ok_or_else(shape)?;
    let value = match kind {
        "int" => {
            let number: i64 = value.parse().map_err(|_| format!("{value:?} is no integer"))?;
            let number = u32::try_from(number.unsigned_abs());
            Value::from(number.map_err(|_| format!("{value} does not fit 32 bits"))?)
        }
        "float" => Value::from(value.parse::<f32>().map_err(|_| format!("{value:?} is no number"))?),
        "bool" => Value::from(value.parse::<bool>().map_err(|_| format!("{value:?} is not true or false"))?),
        "str" if value.len() <= 127 => Value::from(value),
        "str" => return Err("a string may have 127 bytes, as in llama-quantize".to_owned()),
        _ => return Err(shape()),
    };
    if key.is_empty() { Err(shape()) } else { Ok((key.to_owned(), value)) }
}
