//! `qmill quantize` with a target instead of a type.

use super::explain;
use crate::cli::auto::{Chosen, Job};
use crate::cli::failure::{Failure, on_one_line};
use crate::cli::show;
use crate::cli::words::{self, Words};
use clap::{ArgAction, Args};
use indicatif::{ProgressBar, ProgressStyle};
use qmill::fit::{
    self, Fit, Fitted, MeasureProgress, Options, Probe, Sensitivity, SensitivityRule, State, Target,
};
use qmill::gguf::Model;
use qmill::gpu::Precision;
use qmill::llm::{LoadOptions, Tokenizer};
use qmill::mix::FileType;
use qmill::stream::{Existing, OutputFile, Request};
use qmill::{Device, Error, Format};
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs;
use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Options that choose types for a size.
#[derive(Args)]
#[command(next_help_heading = "Types for a size, without calibration data")]
pub(super) struct FitArgs {
    /// Choose each tensor's type by its measured error: at most the bytes of this type, less loss
    #[arg(long, value_name = "TYPE", value_parser = Words::<FileType>::of(words::file_types))]
    #[arg(hide_possible_values = true)]
    like: Option<FileType>,
    /// The same for a file of at most this size: 4.2GiB, 4.2GB, 4200MB
    #[arg(long, value_name = "SIZE", conflicts_with = "like", value_parser = parse_size)]
    target_size: Option<Target>,
    /// The same for at most so many bits per weight
    #[arg(long, value_name = "BITS", conflicts_with_all = ["like", "target_size"], value_parser = parse_bits)]
    target_bpw: Option<Target>,
    /// The same for the largest file with which weights, KV cache and work buffers fit this memory
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["like", "target_size", "target_bpw"])]
    #[arg(value_parser = parse_memory)]
    fit_memory: Option<u64>,
    /// Tokens that --fit-memory has room for; by default 4096, or what the model was trained for
    #[arg(long, value_name = "N", requires = "fit_memory")]
    context: Option<usize>,
    #[arg(help = "Types to choose from [default: Q3_K, IQ4_XS, Q4_K, Q5_K, Q6_K, Q8_0; Q2_K below Q3_K_M]")]
    #[arg(long, value_name = "T0,T1,…", value_delimiter = ',')]
    #[arg(value_parser = Words::<Format>::of(words::formats), hide_possible_values = true)]
    types: Option<Vec<Format>>,
    /// Most bytes that a mixture of experts reads for each token, in parts of the fixed mix's; off for no
    /// limit
    #[arg(long, value_name = "PART|off", value_parser = parse_limit)]
    #[arg(default_value_t = Limit(Some(Options::DEFAULT_ACTIVE_LIMIT)))]
    active_limit: Limit,
    /// What an error costs in each tensor: table, by its role; measured, by quantizing each role and each
    /// layer in turn and running the model; measured-tensors, each tensor; a file with lines of PATTERN
    /// NUMBER
    #[arg(long, value_name = "table|measured|measured-tensors|FILE", default_value = "table")]
    sensitivity: String,
    /// Measure sensitivities on this text, not on random tokens
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// File that keeps measured errors; with it, another target is solved in milliseconds
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Write the types as a file for --tensor-type-file, which llama-quantize takes too
    #[arg(long, value_name = "FILE")]
    recipe_out: Option<PathBuf>,
    /// Show what was chosen: by role types, bytes, and the share of the expected loss
    #[arg(long, action = ArgAction::SetTrue)]
    explain: bool,
    /// Choose by usual errors, from the header alone, and write no model
    #[arg(long, action = ArgAction::SetTrue)]
    pub(super) plan: bool,
}

const TABLE: &str = "table";
const MEASURED: &str = "measured";
const EACH_TENSOR: &str = "measured-tensors";

/// A limit, or none.
#[derive(Clone, Copy)]
struct Limit(Option<f64>);

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.0 {
            Some(limit) => limit.fmt(f),
            None => f.write_str("off"),
        }
    }
}

fn parse_limit(text: &str) -> Result<Limit, String> {
    if text == "off" {
        return Ok(Limit(None));
    }
    let limit = text.parse().ok().filter(|limit: &f64| limit.is_finite() && *limit > 0.0);
    limit.map(|limit| Limit(Some(limit))).ok_or("expected a number above 0, or off".to_owned())
}

fn parse_size(text: &str) -> Result<Target, String> {
    Target::parse_bytes(text).map_err(|error| on_one_line(&error))
}

fn parse_memory(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        Target::Bytes(bytes) => Ok(bytes),
        _ => Err("expected a size".to_owned()),
    }
}

fn parse_bits(text: &str) -> Result<Target, String> {
    Target::parse_bits(text).map_err(|error| on_one_line(&error))
}

impl FitArgs {
    /// Whether there is a target.
    pub(super) fn has_target(&self) -> bool {
        self.fit_memory.is_some() || self.named_target().is_some()
    }

    fn named_target(&self) -> Option<Target> {
        self.like.map(Target::Like).or(self.target_size).or(self.target_bpw)
    }

    fn target(&self, model: &Model) -> Result<Option<Target>, Failure> {
        let Some(memory) = self.fit_memory else { return Ok(self.named_target()) };
        Ok(Some(Target::in_memory(memory, model, &LoadOptions::default().with_context(self.context))?))
    }

    /// What the default name of an output has instead of a type.
    pub(super) fn label(&self) -> String {
        let size = |bytes| show::bytes(bytes).replace(' ', "");
        match self.named_target() {
            Some(Target::Bytes(bytes)) => size(bytes),
            Some(Target::BitsPerWeight(bits)) => format!("{bits}bpw"),
            Some(Target::Like(file_type)) => format!("like-{file_type}"),
            _ => format!("fits-{}", size(self.fit_memory.unwrap_or(0))),
        }
    }

    /// Refuses options that have no effect without a target.
    pub(super) fn check_unused(&self) -> Result<(), Failure> {
        let used = [
            (self.types.is_some(), "--types"),
            (self.active_limit.0 != Some(Options::DEFAULT_ACTIVE_LIMIT), "--active-limit"),
            (self.sensitivity != TABLE, "--sensitivity"),
            (self.text.is_some(), "--text"),
            (self.state.is_some(), "--state"),
            (self.recipe_out.is_some(), "--recipe-out"),
            (self.explain, "--explain"),
            (self.plan, "--plan"),
        ];
        match used.iter().find(|(is_used, _)| *is_used) {
            Some((_, option)) => Err(Failure::Usage(format!(
                "{option} needs a target: --like, --target-size, --target-bpw or --fit-memory"
            ))),
            None => Ok(()),
        }
    }

    /// Chooses the types for the target. `None` where there is none.
    pub(super) fn fit(
        &self,
        model: &Model,
        request: &Request,
        open: impl Fn(Job) -> Result<Chosen, Failure>,
        threads: Option<usize>,
    ) -> Result<Option<Fitted>, Failure> {
        let Some(target) = self.target(model)? else { return Ok(None) };
        let options = Options::new(target)
            .with_types(self.types.clone())
            .with_active_limit(self.active_limit.0)
            .with_sensitivity(self.sensitivity()?);
        let fit = Fit::new(model, request, &options)?;
        if self.plan {
            return Ok(Some(fit.plan()?));
        }
        let mut state = match &self.state {
            Some(path) => State::load(path, model)?,
            None => State::new(model)?,
        };
        let mut measured = measure(&fit, &mut state, &open(Job::Quantize)?.device, threads);
        if measured.is_ok() && matches!(options.sensitivity, Sensitivity::Measured) {
            let device = open(Job::Multiply(Precision::Exact))?.device;
            measured = self.measure_sensitivities(&fit, &mut state, model, device, threads);
        }
        // What was measured before an interruption is kept too.
        if let Some(path) = &self.state {
            state.save(path)?;
        }
        measured?;
        Ok(Some(fit.solve(&state)?))
    }

    fn measure_sensitivities(
        &self,
        fit: &Fit,
        state: &mut State,
        model: &Model,
        device: Device,
        threads: Option<usize>,
    ) -> qmill::Result<()> {
        let tokenizer = Tokenizer::new(model.metadata());
        let bos = tokenizer.as_ref().ok().filter(|words| words.adds_bos()).and_then(Tokenizer::bos);
        let text = match &self.text {
            None => None,
            Some(path) => {
                let bytes = fs::read(path).map_err(|source| Error::Io {
                    path: path.clone(),
                    action: "read",
                    source,
                })?;
                Some(tokenizer?.prompt(&String::from_utf8_lossy(&bytes)))
            }
        };
        let probe =
            Probe::new().with_each_tensor(self.sensitivity == EACH_TENSOR).with_text(text).with_bos(bos);
        let load = LoadOptions::default()
            .with_device(device)
            .with_precision(Precision::Exact)
            .with_threads(threads.filter(|&threads| threads > 0));
        with_bar("running", |report| fit.measure_sensitivities(state, &load, &probe, report))
    }

    fn sensitivity(&self) -> Result<Sensitivity, Failure> {
        let is_measured = [MEASURED, EACH_TENSOR].contains(&self.sensitivity.as_str());
        if self.text.is_some() && !is_measured {
            let message = "--text is what sensitivities are measured on: it needs --sensitivity measured";
            return Err(Failure::Usage(message.to_owned()));
        }
        match self.sensitivity.as_str() {
            TABLE => return Ok(Sensitivity::Table),
            MEASURED | EACH_TENSOR => return Ok(Sensitivity::Measured),
            _ => {}
        }
        let path = Path::new(&self.sensitivity);
        let text = fs::read_to_string(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            action: "read",
            source,
        })?;
        Ok(Sensitivity::Rules(SensitivityRule::parse_all(&text, path)?))
    }

    /// The file of the recipe, if it was asked for.
    pub(super) fn recipe_path(&self) -> Option<&Path> {
        self.recipe_out.as_deref()
    }

    /// Writes the recipe, if it was asked for.
    pub(super) fn write_recipe(&self, fitted: &Fitted, existing: Existing) -> Result<(), Failure> {
        let Some(path) = &self.recipe_out else { return Ok(()) };
        let mut file = OutputFile::create(path, existing)?;
        let cannot_write = |source| Error::Io { path: path.clone(), action: "write", source };
        file.write_all(fit::recipe(fitted).as_bytes()).map_err(cannot_write)?;
        Ok(file.commit()?)
    }

    /// What was chosen, as lines of text and as JSON.
    pub(super) fn describe(&self, fitted: &Fitted) -> (String, Value) {
        (explain::text(fitted, self.explain), explain::json(fitted))
    }
}

fn measure(fit: &Fit, state: &mut State, device: &Device, threads: Option<usize>) -> qmill::Result<()> {
    let threads = threads.and_then(NonZeroUsize::new);
    with_bar("measuring", |report| fit.measure(state, device, threads, report))
}

/// Runs `measure` with a progress bar, and stops it on a signal.
fn with_bar(
    what: &str,
    measure: impl FnOnce(&mut dyn FnMut(&MeasureProgress) -> ControlFlow<()>) -> qmill::Result<()>,
) -> qmill::Result<()> {
    // Hidden if the standard error is not a terminal.
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{prefix} {msg:32} {wide_bar} {pos}/{len} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(what.to_owned());
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Without a handler a signal ends the program: what was measured is lost, and nothing else.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, interrupted.clone());
        let _ = signal_hook::flag::register(signal, interrupted.clone());
    }
    let done = measure(&mut |progress: &MeasureProgress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(progress.name.to_owned());
        if interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    done
}
