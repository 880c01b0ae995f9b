//! `qmill quantize` and `qmill dequantize`.

mod explain;
mod fit;
mod positional;
mod progress;

use super::auto::{self, Chosen, Job};
use super::failure::{Failure, on_one_line};
use super::show;
use super::words::{self, Words};
use clap::{Args, ValueEnum};
use fit::FitArgs;
use positional::Positional;
use progress::Reporter;
use qmill::error::{FitFault, OutputFault, RequestFault};
use qmill::gguf::{Model, Value};
use qmill::gpu::DeviceChoice;
use qmill::mix::{FileType, Options, TensorRule};
use qmill::stream::{Existing, Plan, Request, Resources, Verify};
use qmill::{Device, Format};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Quantizes a GGUF model, byte for byte as llama-quantize does.
///
/// TYPE is a file type such as `Q4_K_M` (`qmill formats` lists them), or COPY. Without OUT the file is
/// written beside IN, as NAME-TYPE.gguf. It appears under its name only when it is complete; a device, a pipe
/// or /dev/stdout is written directly. THREADS is the same as --threads.
///
/// With --like, --target-size or --target-bpw instead of TYPE, each tensor gets the type by which the file,
/// at that size, is expected to lose least. The errors of the types are measured; no calibration data is
/// needed, and any llama.cpp loads the file.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "a flag is a bool")]
#[command(override_usage = "qmill quantize [OPTIONS] <IN> [OUT] <TYPE> [THREADS]")]
pub(crate) struct Quantize {
    /// The model; the first file of a split model
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write, the file type, and a number of threads
    #[arg(value_name = "[OUT] TYPE [THREADS]", num_args = 0..=3)]
    #[arg(required_unless_present_any = ["like", "target_size", "target_bpw", "fit_memory"])]
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
    #[command(flatten)]
    fit: FitArgs,

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
    /// Print what would be done and write nothing; from the header alone, unless types are chosen by measured
    /// errors
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
        let Positional { output, file_type, threads } = if self.fit.has_target() {
            Positional::parse_without_type(&self.input, &self.rest, &self.fit.label())?
        } else {
            self.fit.check_unused()?;
            Positional::parse(&self.input, &self.rest)?
        };
        if self.fit.has_target() && self.pure {
            let message = "--pure gives every tensor one type, and a target chooses them: use one of both";
            return Err(Failure::Usage(message.to_owned()));
        }
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
        run.run(Some(&self.fit), &self.input, &output, &request).map_err(|failure| hinted(failure, true))
    }
}

impl Dequantize {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let request = Request::new(self.file_type).with_allow_requantize(true).with_verify(self.run.verify());
        self.run.run(None, &self.input, &self.output, &request).map_err(|failure| hinted(failure, false))
    }
}

/// Says where weights lie on the lattice of a type that the plan does not give them.
fn warn_of_lattices(model: &Model, plan: &Plan) -> Result<(), Failure> {
    let found = qmill::fit::lattices(model, plan)?;
    let Some((name, format)) = found.first() else { return Ok(()) };
    let others = match found.len() - 1 {
        0 => String::new(),
        others => format!(" and {} more", show::counted(others, "tensor")),
    };
    eprintln!(
        "qmill: warning: the weights of {}{others} lie on the lattice of {format}, made from it or \
         trained for it: as another type they lose more; --like chooses accordingly",
        show::escaped(name)
    );
    Ok(())
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
        Failure::Qmill(Error::Fit(FitFault::NotRun { .. })) => {
            "; --sensitivity table, and --target-size, need no run"
        }
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

    /// Writes the plan of `request`, or that of the target, if there is one.
    fn run(
        &self,
        fit: Option<&FitArgs>,
        input: &Path,
        output: &Path,
        request: &Request,
    ) -> Result<(), Failure> {
        let model = Model::open(input)?;
        if let Some(fit) = fit.filter(|fit| fit.has_target()) {
            // Measuring takes minutes: what refuses the run refuses it before.
            let written = (!self.dry_run && !fit.plan && !request.keep_split).then_some(output);
            for path in written.into_iter().chain(fit.recipe_path()) {
                if !self.force && fs::metadata(path).is_ok_and(|found| found.is_file()) {
                    let fault = OutputFault::Exists;
                    return Err(qmill::Error::Output { path: path.to_owned(), fault }.into());
                }
            }
        }
        let open = |job| auto::open(&self.device, job);
        let fitted = match fit {
            Some(fit) => fit.fit(&model, request, open, self.threads)?.map(|fitted| (fit, fitted)),
            None => None,
        };
        let plan = match &fitted {
            Some((_, fitted)) => fitted.plan.clone(),
            None => Plan::new(&model, request)?,
        };
        let described = fitted.as_ref().map(|(fit, fitted)| fit.describe(fitted));
        let reporter = Reporter::new(self.json, &plan, output, described)?;
        if let Some((fit, fitted)) = &fitted {
            fit.write_recipe(fitted, self.existing())?;
        }
        if self.dry_run || fit.is_some_and(|fit| fit.plan) {
            return reporter.dry_run(&plan);
        }
        if fit.is_some() && fitted.is_none() {
            warn_of_lattices(&model, &plan)?;
        }
        self.write(&model, &plan, output, reporter)
    }

    fn existing(&self) -> Existing {
        if self.force { Existing::Replace } else { Existing::Refuse }
    }

    fn write(
        &self,
        model: &Model,
        plan: &Plan,
        output: &Path,
        mut reporter: Reporter,
    ) -> Result<(), Failure> {
        let Chosen { device, reason } = auto::open(&self.device, Job::Quantize)?;
        reporter.explain_device(&device, reason);
        if plan.verify != Verify::Off && matches!(device, Device::Cpu) {
            eprintln!("qmill: note: --verify has nothing to compare: the CPU computes");
        }
        let mut resources = Resources::default().with_device(device).with_memory_bytes(self.memory);
        if let Some(threads) = self.threads.and_then(NonZeroUsize::new) {
            resources.threads = threads;
        }
        let report = plan.write_files(model, output, &resources, self.existing(), &mut |progress| {
            reporter.report(progress)
        });
        if let Device::Gpu(gpu) = &resources.device {
            gpu.store_pipelines();
        }
        reporter.finish(report)
    }
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
