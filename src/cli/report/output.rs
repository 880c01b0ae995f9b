//! The folder and the progress of `qmill report`.

use crate::cli::failure::Failure;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qmill::Error;
use qmill::error::OutputFault;
use qmill::report::{self, Progress, Report, Stage};
use qmill::stream::{Existing, OutputFile};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The files of a report.
const NAMES: [&str; 3] = ["report.json", "report.md", "report.html"];

/// The folder of a report.
pub(super) struct Folder {
    path: PathBuf,
    existing: Existing,
    is_new: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_new {
            // Only an empty folder is removed, which a failed run leaves.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

impl Folder {
    /// Makes the folder if it does not exist. Fails if there is a report in it that may not be replaced.
    pub(super) fn new(path: &Path, force: bool) -> Result<Self, Failure> {
        let existing = if force { Existing::Replace } else { Existing::Refuse };
        for name in NAMES {
            let path = path.join(name);
            if !force && fs::symlink_metadata(&path).is_ok() {
                return Err(Error::Output { path, fault: OutputFault::Exists }.into());
            }
        }
        let is_new = !path.exists();
        let cannot_create = |source| Error::Io { path: path.to_owned(), action: "create", source };
        fs::create_dir_all(path).map_err(cannot_create)?;
        Ok(Self { path: path.to_owned(), existing, is_new })
    }

    /// The file with the base's predictions.
    pub(super) fn logits(&self) -> PathBuf {
        self.path.join("base.logits")
    }

    /// Writes all files, then gives them their names.
    pub(super) fn write(&self, report: &Report) -> Result<(), Failure> {
        let texts = [report.to_json(), report::markdown(report), report::html(report)];
        let mut files = Vec::new();
        for (name, text) in NAMES.iter().zip(texts) {
            let path = self.path.join(name);
            let mut file = OutputFile::create(&path, self.existing)?;
            file.write_all(text.as_bytes()).map_err(|source| Error::Io { path, action: "write", source })?;
            files.push(file);
        }
        files.into_iter().try_for_each(OutputFile::commit)?;
        Ok(())
    }

    /// The names of all files.
    pub(super) fn names(&self) -> String {
        NAMES.map(|name| self.path.join(name).display().to_string()).join(", ")
    }
}

/// A progress bar on a terminal, and what stops the work on a signal.
pub(super) struct Bar {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
}

impl Bar {
    pub(super) fn new() -> Result<Self, Failure> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // A second signal, while the first waits for the end of a chunk, ends the program immediately.
            signal_hook::flag::register_conditional_shutdown(signal, 130, interrupted.clone())
                .map_err(Failure::Signals)?;
            signal_hook::flag::register(signal, interrupted.clone()).map_err(Failure::Signals)?;
        }
        // Hidden if the standard error is not a terminal.
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("{msg} {wide_bar} {percent} %, {elapsed} so far, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Ok(Self { bar, interrupted })
    }

    pub(super) fn show(&mut self, progress: &Progress) -> ControlFlow<()> {
        let doing = match progress.stage {
            Stage::Error => "error of weights",
            Stage::Load => "loading",
            Stage::Predict => "predicting",
            Stage::Speed => "measuring speed",
            _ => "",
        };
        self.bar.set_length(progress.total);
        self.bar.set_message(format!("{}: {doing}", progress.row));
        self.bar.set_position(progress.done);
        if self.interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
