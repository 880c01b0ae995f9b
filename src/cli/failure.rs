//! How a command fails, and what the shell sees of it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code after Ctrl-C, as shells count signals: 128 + SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// What ended a command early.
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
    #[error("{path}: there is no chat template in it; without one, -p TEXT continues a text", path = path.display())]
    NoTemplate { path: PathBuf },
    #[error("interrupted")]
    Interrupted,
}

/// An error and its causes.
pub(crate) fn on_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // The syntax error of a pattern comes as a drawing of several lines.
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

impl Failure {
    /// Prints the error with its causes on one line, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            // Whoever read our output has seen enough.
            Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Qmill(qmill::Error::Cancelled) => {
                eprintln!("qmill: interrupted; nothing was left behind");
                return ExitCode::from(INTERRUPTED);
            }
            Self::Interrupted => return ExitCode::from(INTERRUPTED),
            _ => {}
        }
        let line = on_one_line(self);
        eprintln!("qmill: {line}{}", self.hint());
        ExitCode::from(if self.is_usage() { 2 } else { 1 })
    }

    /// Whether the words of the command are wrong, whatever the files are.
    fn is_usage(&self) -> bool {
        use qmill::Error;
        match self {
            Self::Usage(_) => true,
            Self::Qmill(error) => matches!(
                error,
                Error::UnknownFileType { .. }
                    | Error::UnknownFormat { .. }
                    | Error::NeedsImatrix { .. }
                    | Error::NotEncoded { .. }
                    | Error::TensorRule { .. }
                    | Error::Pattern { .. }
            ),
            _ => false,
        }
    }

    /// What the user can do about it on this command line.
    fn hint(&self) -> &'static str {
        match self {
            Self::Qmill(qmill::Error::OutputExists { .. }) => "; --force replaces it",
            Self::Qmill(qmill::Error::Requantize { .. }) => "; --allow-requantize does it all the same",
            Self::Qmill(qmill::Error::Memory { .. }) => "; --memory allows more",
            Self::Qmill(qmill::Error::UnknownFormat { .. } | qmill::Error::UnknownFileType { .. }) => {
                "; `qmill formats` lists them"
            }
            _ => "",
        }
    }
}
