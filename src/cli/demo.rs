//! `qmill demo`: what each file type costs, on a small model that the program contains.

use super::compare::add_figures;
use super::failure::Failure;
use super::show;
use clap::Args;
use qmill::eval::{self, Comparison};
use qmill::gguf::Model;
use qmill::mix::FileType;
use qmill::stream::{Existing, OutputFile, Plan, Report, Request, Resources};
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Write};
use std::iter;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A Llama model trained from scratch on Shakespeare's plays.
static MODEL: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-shakespeare-f16.gguf"));
const MODEL_NAME: &str = "tiny-shakespeare-f16.gguf";

/// From almost no loss to too much, with an old format beside its successors, and a format that is only for
/// models trained with three levels.
const FILE_TYPES: [FileType; 9] = [
    FileType::Q8_0,
    FileType::Q6_K,
    FileType::Q5_K_M,
    FileType::Q4_K_M,
    FileType::Q4_0,
    FileType::IQ4_XS,
    FileType::Q3_K_M,
    FileType::Q2_K,
    FileType::TQ2_0,
];

/// Quantizes a small model that the program contains to several types, and prints what each costs.
///
/// SQNR is the ratio of the weights to their errors, Σa²/Σ(a-b)², in dB: higher is better, 6 dB are about one
/// bit.
#[derive(Args)]
pub(crate) struct Demo {
    /// Write the files and the model to this folder; existing files are replaced
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let model = Model::from_source(MODEL_NAME, Box::new(MODEL))?;
        if let Some(folder) = &self.out {
            let cannot_create = |source| qmill::Error::Io { path: folder.clone(), action: "create", source };
            fs::create_dir_all(folder).map_err(cannot_create)?;
            keep(folder, MODEL_NAME, MODEL)?;
        }
        let mut out = io::stdout().lock();
        if !self.json {
            write_heading(&model, &mut out)?;
        }
        let mut samples = Vec::new();
        for file_type in FILE_TYPES {
            let sample = Sample::make(&model, file_type, self.out.as_deref())?;
            if self.json {
                samples.push(sample.to_json());
            } else {
                sample.write_text(&mut out)?;
            }
        }
        if self.json {
            let object = json!({ "model": MODEL_NAME, "file_bytes": MODEL.len(), "samples": samples });
            writeln!(out, "{object}")?;
        } else {
            writeln!(out, "\nNow yours: qmill quantize model-F16.gguf Q4_K_M")?;
        }
        Ok(())
    }
}

/// The model in one file type.
struct Sample {
    file_type: FileType,
    report: Report,
    comparison: Comparison,
}

impl Sample {
    /// Quantizes in memory, and writes the file to `folder` if there is one.
    fn make(model: &Model, file_type: FileType, folder: Option<&Path>) -> Result<Self, Failure> {
        let resources = Resources::default();
        let mut file = Vec::new();
        let mut outputs = iter::once(&mut file);
        let open = |_| Ok(outputs.next().expect("one file in, one file out"));
        let plan = Plan::new(model, &Request::new(file_type))?;
        let report = plan.write(model, open, &resources, &mut |_| ControlFlow::Continue(()))?;
        let name = MODEL_NAME.replace("f16", file_type.name());
        if let Some(folder) = folder {
            keep(folder, &name, &file)?;
        }
        let quantized = Model::from_source(name, Box::new(file))?;
        let comparison = eval::distortion(model, &quantized, resources.threads)?;
        Ok(Self { file_type, report, comparison })
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { file_type, report, comparison } = self;
        let (size, bits) = (show::bytes(report.file_bytes), report.bits_per_weight());
        let (sqnr, rmse) = (comparison.total.sqnr_db, comparison.total.rmse);
        let seconds = report.elapsed.as_secs_f64();
        write!(out, "{file_type:<9} {size:>10} {bits:>12.4} {sqnr:>8.2} {rmse:>10.3e} {seconds:>8.2}")?;
        match comparison.worst_first().first() {
            Some(worst) => writeln!(out, "  {} ({:.2} dB)", worst.name, worst.distortion.sqnr_db),
            None => writeln!(out),
        }
    }

    fn to_json(&self) -> Value {
        let worst = self.comparison.worst_first().first().map(|worst| {
            json!({
                "name": worst.name,
                "format": worst.other.name(),
                "sqnr_db": worst.distortion.sqnr_db,
            })
        });
        let mut object = json!({
            "file_type": self.file_type.name(),
            "file_bytes": self.report.file_bytes,
            "bits_per_weight": self.report.bits_per_weight(),
        });
        add_figures(&mut object, &self.comparison.total);
        object["worst_tensor"] = json!(worst);
        object["seconds"] = json!(self.report.elapsed.as_secs_f64());
        object
    }
}

fn write_heading(model: &Model, out: &mut impl Write) -> io::Result<()> {
    let weights = model.tensors().map(|tensor| tensor.info.weights()).sum();
    let (weights, size) = (show::count(weights), show::bytes(MODEL.len() as u64));
    writeln!(
        out,
        "A Llama of {weights} weights, trained on Shakespeare's plays; {size} as F16. Quantized:\n"
    )?;
    writeln!(out, "file type       size  bits/weight  SQNR dB       RMSE  seconds  worst tensor")
}

/// Writes a file that appears under its name only when it is complete.
fn keep(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = folder.join(name);
    let mut file = OutputFile::create(&path, Existing::Replace)?;
    file.write_all(bytes).map_err(|source| qmill::Error::Io { path, action: "write", source })?;
    Ok(file.commit()?)
}
