//! Failures of commands, their messages and exit codes.

use super::words;
use qmill::error::RequestFault;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code after Ctrl-C, by the convention of shells: 128 + SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Qmill(#[from] qmill::Error),
    #[error("cannot write to the standard output")]
    Stdout(#[from] io::Error),
    #[error("cannot read the standard input")]
    Stdin(#[source] io::Error),
    #[error("cannot handle signals")]
    Signals(#[source] io::Error),
    #[error("{0}")]
    Usage(String),
    /// A failure with a hint for this command.
    #[error("{0}")]
    Hinted(Box<Failure>, &'static str),
    #[error("{path}: there is no chat template in it; without one, -p TEXT continues a text",
        path = path.display())]
    NoTemplate { path: PathBuf },
    #[error("interrupted")]
    Interrupted,
}

/// An error and its causes on one line.
pub(crate) fn on_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // The syntax error of a regular expression is a drawing of several lines.
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

impl Failure {
    /// Prints the error with its causes on one line and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let (failure, hint) = match self {
            Self::Hinted(failure, hint) => (failure.as_ref(), (*hint).to_owned()),
            _ => (self, self.hint()),
        };
        match failure {
            // The reader of the output has closed the pipe.
            Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Qmill(qmill::Error::Cancelled) => {
                eprintln!("qmill: interrupted; nothing was left behind");
                return ExitCode::from(INTERRUPTED);
            }
            Self::Interrupted => return ExitCode::from(INTERRUPTED),
            _ => {}
        }
        let line = on_one_line(failure);
        eprintln!("qmill: {line}{hint}");
        ExitCode::from(if failure.is_usage() { 2 } else { 1 })
    }

    /// Whether the arguments are wrong, independent of the files.
    fn is_usage(&self) -> bool {
        use qmill::Error;
        match self {
            Self::Usage(_) => true,
            Self::Qmill(error) => matches!(
                error,
                Error::UnknownFormat { .. }
                    | Error::NotEncoded { .. }
                    | Error::Request(
                        RequestFault::UnknownFileType { .. }
                            | RequestFault::NeedsImatrix { .. }
                            | RequestFault::TensorRule { .. }
                            | RequestFault::Pattern { .. }
                            | RequestFault::SplitKey { .. }
                    )
            ),
            _ => false,
        }
    }

    /// A hint that applies to every command.
    fn hint(&self) -> String {
        use qmill::Error;
        let Self::Qmill(error) = self else { return String::new() };
        match error {
            Error::UnknownFormat { name } => listed(words::nearest(name, words::formats())),
            Error::Request(RequestFault::UnknownFileType { name }) => {
                listed(words::nearest(name, words::file_types()))
            }
            Error::Io { path, source, .. } if source.kind() == io::ErrorKind::NotFound => {
                words::similar_file(path)
            }
            _ => String::new(),
        }
    }
}

/// A hint to the list of types, and to the type that may be meant.
fn listed(meant: Option<&str>) -> String {
    let all = "`qmill formats` lists them";
    meant.map_or_else(|| format!("; {all}"), |meant| format!("; did you mean {meant}? {all}"))
}
