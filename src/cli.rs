//! The command line: one file per subcommand, each a thin layer over the library.

mod auto;
mod bench;
mod compare;
mod demo;
mod device;
mod devices;
mod failure;
mod formats;
mod inspect;
mod llama_words;
mod model;
mod perplexity;
mod progress;
mod quantize;
mod report;
mod run;
mod shaders;
mod show;
mod tune;
mod words;

use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use std::env;
use std::io::{self, Write};

/// Quantizes model weights in ggml's formats, byte for byte as llama-quantize does.
///
/// Exit codes: 0 success; 1 failure, with the reason on the standard error; 2 wrong usage, or a type that
/// cannot be written; 130 interrupted.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Quantize(Box<quantize::Quantize>),
    Dequantize(quantize::Dequantize),
    Inspect(inspect::Inspect),
    Compare(compare::Compare),
    Bench(Box<bench::Bench>),
    Tune(tune::Tune),
    Run(Box<run::Run>),
    Perplexity(Box<perplexity::Perplexity>),
    Report(Box<report::Report>),
    Formats(formats::Formats),
    Demo(demo::Demo),
    Devices(devices::Devices),
    Shaders(shaders::Shaders),
    /// Prints the completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    pub(crate) fn from_command_line() -> Self {
        match llama_words::translate(bench::with_long_words(env::args_os())) {
            Ok((words, notes)) => {
                notes.iter().for_each(model::note);
                Self::parse_from(words)
            }
            Err(error) => Self::command().error(clap::error::ErrorKind::UnknownArgument, error).exit(),
        }
    }

    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Quantize(command) => command.run(),
            Command::Dequantize(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Compare(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Tune(command) => command.run(),
            Command::Run(command) => command.run(),
            Command::Perplexity(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Formats(command) => command.run(),
            Command::Demo(command) => command.run(),
            Command::Devices(command) => command.run(),
            Command::Shaders(command) => command.run(),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "qmill", &mut script);
                Ok(io::stdout().write_all(&script)?)
            }
        }
    }
}
