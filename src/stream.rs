//! Quantizing whole files: read, quantize and write at the same time, in bounded memory.
//!
//! A [`Plan`] is made from the header alone. It has the new type of every tensor, the length of the file and
//! the offset of each byte. [`Plan::write`] executes it with a fixed number of buffers, so memory does not
//! grow with the model. If a GPU fails during the run, the CPU does the rest ([`Report::given_up`]).
//! [`quantize_file`] does both, and gives the file its name only when it is complete.

mod destination;
mod engine;
mod notes;
mod output;
mod part_file;
mod plan;
mod report;
mod request;
mod resources;
mod row_batch;
mod run;

pub use destination::is_stdout;
pub use output::{Existing, OutputFile};
pub(crate) use plan::facts;
pub use plan::{Alternative, Fallback, Plan, PlannedFile, PlannedTensor};
pub use report::{FormatTotal, Progress, Report};
pub use request::{Request, Verify};
pub use resources::Resources;

#[cfg(doc)]
use crate::Error;
use crate::Result;
#[cfg(doc)]
use crate::error::OutputFault;
use crate::gguf::Model;
use output::Outputs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

/// Quantizes the GGUF file at `input` into `output`.
///
/// The file is written beside `output` as `.NAME.qmill-part` and renamed when it is complete and on the disk.
/// On an error, or if `progress` cancels, it is removed. It is locked while it is written: a second run with
/// the same output, under any name, is refused, and a file left by a killed run is replaced. With
/// [`Request::keep_split`] the names of the files are derived from `output` ([`Plan::output_paths`]), and all
/// are renamed together.
///
/// `existing` says whether an existing `output` may be replaced. If `output` is a symbolic link, the link
/// stays and its target is replaced or created; a link without a target counts as an existing output. A
/// device, a pipe, or a descriptor such as `/dev/stdout` and `/proc/self/fd/3` is written directly, whatever
/// `existing` is.
///
/// `progress` is called on this thread after every batch of rows that is written. [`ControlFlow::Break`]
/// stops the run with [`Error::Cancelled`]. Other errors are those of [`Model::open`], [`Plan::new`] and
/// [`Plan::write`], and [`Error::Output`] with [`OutputFault::SameFile`], [`OutputFault::Exists`],
/// [`OutputFault::InUse`] or [`OutputFault::NoSpace`], before anything is written.
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
    /// Executes the plan and writes `output`, as [`quantize_file`] does.
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

    /// Executes the plan and writes each file to the output that `open` returns for its index in
    /// [`Plan::files`].
    ///
    /// Fails with [`Error::Memory`] before anything is opened if a row does not fit into the memory of
    /// `resources`, with [`Error::NotFinite`] or [`Error::BadBlock`] if the model holds a number that is not
    /// finite, with [`Error::Overflow`] if a scale does not fit into its field, with [`Error::Differs`] if
    /// [`Request::verify`] finds a difference, and with [`Error::Write`], [`Error::Io`] and
    /// [`Error::Cancelled`].
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
