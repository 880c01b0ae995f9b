//! The arguments of `qmill quantize` that have no flag.

use crate::cli::failure::Failure;
use crate::cli::{show, words};
use qmill::error::RequestFault;
use qmill::gguf;
use qmill::mix::FileType;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// `[OUT] TYPE [THREADS]`, distinguished as in llama-quantize: an argument that is a type is the type.
pub(super) struct Positional {
    pub(super) output: PathBuf,
    pub(super) file_type: FileType,
    pub(super) threads: Option<usize>,
}

impl Positional {
    pub(super) fn parse(input: &Path, rest: &[OsString]) -> Result<Self, Failure> {
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
        let output = output.map_or_else(|| default_output(input, file_type.name()), PathBuf::from);
        Ok(Self { output, file_type, threads: threads.transpose()? })
    }
}

impl Positional {
    /// `[OUT] [THREADS]`, for a target. `label` stands for the type in the default name.
    pub(super) fn parse_without_type(input: &Path, rest: &[OsString], label: &str) -> Result<Self, Failure> {
        if let Some(word) = rest.iter().find(|word| is_type_name(word)) {
            let word = word.to_string_lossy();
            let message = format!("{word} is a type, and a target chooses types: use one of both");
            return Err(Failure::Usage(message));
        }
        let number = |text: &OsString| text.to_string_lossy().parse::<i64>().is_ok();
        let (output, threads) = match rest {
            [] => (None, None),
            [threads] if number(threads) => (None, Some(threads)),
            [output] => (Some(output), None),
            [output, threads] if number(threads) => (Some(output), Some(threads)),
            [.., word] => {
                let word = word.to_string_lossy();
                let message =
                    format!("{word} is one argument too many: with a target, OUT and THREADS are all");
                return Err(Failure::Usage(message));
            }
        };
        let threads =
            threads.map(|text| show::parse_threads(&text.to_string_lossy()).map_err(Failure::Usage));
        let output = output.map_or_else(|| default_output(input, label), PathBuf::from);
        // The fit decides the type.
        Ok(Self { output, file_type: FileType::Q4_K_M, threads: threads.transpose()? })
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
fn default_output(input: &Path, label: &str) -> PathBuf {
    // After any other dot, the rest is part of the name, as in llama-3.1.
    let is_gguf = input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let name = if is_gguf { input.file_stem() } else { input.file_name() };
    let mut name = gguf::split_name(input).unwrap_or_else(|| name.unwrap_or_default().to_owned());
    name.push(format!("-{label}.gguf"));
    input.with_file_name(name)
}
