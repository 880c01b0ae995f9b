//! Quantizing whole files: read, quantize and write at the same time, in bounded memory.
//!
//! A [`Plan`] is made from the header alone and says what becomes of every tensor, how large the file will be and
//! where each byte goes. [`Plan::write`] carries it out through a fixed number of buffers, so memory does not grow
//! with the model. A GPU that fails on the way is given up, and the CPU goes on: [`Report::given_up`] says so.
//! [`quantize_file`] does both, and puts the result under its name only when it is complete.

mod destination;
mod engine;
mod output;
mod part_file;
mod plan;
mod report;
mod run;

pub use destination::is_stdout;
pub use output::{Existing, OutputFile};
pub use plan::{Alternative, Fallback, Plan, PlannedFile, PlannedTensor, Request, Verify};
pub use report::{FormatTotal, Progress, Report};
pub use run::Resources;

#[cfg(doc)]
use crate::Error;
use crate::Result;
use crate::gguf::Model;
use output::Outputs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

/// Quantizes the GGUF file at `input` into `output`.
///
/// The file is written beside `output` as `.NAME.qmill-part` and renamed when it is complete and on the disk; on
/// any error, or when `progress` breaks off, it is removed. While it is written it is locked: a second run
/// with the same output, by whatever name, is refused, and what a killed run left is replaced. With
/// [`Request::keep_split`] `output` is the name of all files ([`Plan::output_paths`]), which are renamed
/// together.
///
/// An existing `output` is replaced only where `existing` says so. Where `output` is a symbolic link, the
/// link stays and the file it leads to is replaced, or created where there is none: a link that leads nowhere
/// counts as an existing output. A device, a pipe, or a descriptor such as `/dev/stdout` and
/// `/proc/self/fd/3` is written directly, whatever `existing` says.
///
/// `progress` is called on this thread after every portion written; [`ControlFlow::Break`] stops with
/// [`Error::Cancelled`]. Other errors: those of [`Model::open`], [`Plan::new`] and [`Plan::write`];
/// [`Error::SameFile`], [`Error::OutputExists`], [`Error::OutputInUse`] and [`Error::NoSpace`], before
/// anything is written.
pub fn quantize_file(
    input: &Path,
    output: &Path,
    request: &Request,
    resources: &Resources,
    existing: Existing,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Report> {
    let model = Model::open(input)?;
    let plan = Plan::new(&model, request)?;
    plan.write_files(&model, output, resources, existing, progress)
}

impl Plan {
    /// Carries the plan out into `output`, as [`quantize_file`] does.
    pub fn write_files(
        &self,
        model: &Model,
        output: &Path,
        resources: &Resources,
        existing: Existing,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Report> {
        let start = Instant::now();
        resources.check(self)?;
        let outputs = Outputs::create(model, self, output, existing)?;
        let tally = run::run(self, model, resources, |index| outputs.open(index), progress)
            .map_err(|error| outputs.name(error))?;
        outputs.commit()?;
        Ok(Report::of_run(self, resources, tally, start.elapsed()))
    }

    /// Carries the plan out into what `open` gives for each file, by its number in [`Plan::files`].
    ///
    /// Fails with [`Error::NotFinite`] or [`Error::BadBlock`] where the model holds a number that is not finite,
    /// with [`Error::Overflow`] where a scale does not fit, with [`Error::Differs`] where [`Request::verify`] finds it, with [`Error::Memory`] before anything is opened where
    /// a row does not fit `resources`, with [`Error::Write`], [`Error::Io`] and [`Error::Cancelled`].
    pub fn write<W: Write>(
        &self,
        model: &Model,
        open: impl FnMut(usize) -> Result<W>,
        resources: &Resources,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Report> {
        let start = Instant::now();
        let tally = run::run(self, model, resources, open, progress)?;
        Ok(Report::of_run(self, resources, tally, start.elapsed()))
    }
}
