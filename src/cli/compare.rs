//! `qmill compare`: the difference between two models, tensor by tensor.

use super::failure::Failure;
use super::show;
use clap::Args;
use qmill::eval::{self, Comparison, Distortion, Mismatch, TensorDistortion};
use qmill::gguf::Model;
use qmill::stream::{Existing, OutputFile, Resources};
use qmill::{Error, report};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Compares the weights of a model with those of a reference, worst tensor first.
///
/// With a the weights of A and b those of B: RMSE = √(Σ(a-b)²/n), max error = max |a-b|,
/// SQNR = 10·log10(Σa²/Σ(a-b)²) dB, which is infinite for equal weights, cosine = Σab/√(Σa²·Σb²).
///
/// Tensors are paired by name. A tensor that only one of the files has, or with another shape, is listed but
/// not compared. Files with no tensor in common are an error.
#[derive(Args)]
pub(crate) struct Compare {
    /// The reference, such as the F16 model
    #[arg(value_name = "A")]
    reference: PathBuf,
    /// The model to compare
    #[arg(value_name = "B")]
    model: PathBuf,
    /// Threads that compute; 0 means all cores. The result does not depend on it [default: all cores]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = show::parse_threads)]
    threads: Option<usize>,
    /// Draw the error by layer and role: FILE.svg is a picture, FILE.html a page with the figures
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an existing drawing
    #[arg(long)]
    force: bool,
    /// Print one JSON object; `sqnr_db` is null if it is infinite
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let out = self.out.as_deref().map(|path| Drawing::create(path, self.force)).transpose()?;
        let (reference, model) = (Model::open(&self.reference)?, Model::open(&self.model)?);
        let threads = self.threads.and_then(NonZeroUsize::new).unwrap_or(Resources::default().threads);
        let comparison = eval::distortion(&reference, &model, threads)?;
        if let Some(drawing) = out {
            let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let title = format!("Error of {} against {}", name(&self.model), name(&self.reference));
            drawing.write(&comparison, &title)?;
        }
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", to_json(&comparison))?;
        } else {
            write_text(&comparison, &mut out)?;
        }
        Ok(())
    }
}

/// A file that the comparison is drawn to.
struct Drawing {
    draw: fn(&Comparison, &str) -> String,
    path: PathBuf,
    file: OutputFile,
}

impl Drawing {
    /// Opens the file. Its extension says what is drawn.
    fn create(path: &Path, force: bool) -> Result<Self, Failure> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let draw: fn(&Comparison, &str) -> String = match extension.as_deref() {
            Some("svg") => report::comparison_svg,
            Some("html" | "htm") => report::comparison_html,
            _ => {
                let path = path.display();
                return Err(Failure::Usage(format!("{path}: a drawing is a file .svg or .html")));
            }
        };
        let existing = if force { Existing::Replace } else { Existing::Refuse };
        Ok(Self { draw, path: path.to_owned(), file: OutputFile::create(path, existing)? })
    }

    fn write(mut self, comparison: &Comparison, title: &str) -> Result<(), Failure> {
        let text = (self.draw)(comparison, title);
        let (path, action) = (self.path, "write");
        self.file.write_all(text.as_bytes()).map_err(|source| Error::Io { path, action, source })?;
        Ok(self.file.commit()?)
    }
}

fn write_text(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    let tensors = comparison.worst_first();
    let rows: Vec<(String, String, &Distortion)> = tensors
        .into_iter()
        .map(|tensor| (show::escaped(&tensor.name), formats(tensor), &tensor.distortion))
        .collect();
    let name_width = show::width(rows.iter().map(|(name, ..)| name)).max("tensor".len());

    let (name, formats) = ("tensor", "formats");
    let header = "    weights   SQNR dB        RMSE   max error    cosine";
    writeln!(out, "{name:name_width$}  {formats:<16} {header}")?;
    for (name, formats, distortion) in &rows {
        writeln!(out, "{name:name_width$}  {formats:<16} {}", figures(distortion))?;
    }
    for (name, mismatch) in &comparison.mismatches {
        writeln!(out, "{:name_width$}  not compared: {mismatch}", show::escaped(name))?;
    }
    let compared = show::counted(rows.len(), "tensor");
    writeln!(out, "{:name_width$}  {compared:<16} {}", "total", figures(&comparison.total))?;
    if !comparison.mismatches.is_empty() {
        let all = show::counted(rows.len() + comparison.mismatches.len(), "tensor");
        writeln!(out, "The total is of {} of {all}: {}", rows.len(), reasons(comparison))?;
    }
    Ok(())
}

/// The reasons why tensors were not compared: `3 only in the reference, 1 of another shape`.
fn reasons(comparison: &Comparison) -> String {
    let count =
        |is: fn(&Mismatch) -> bool| comparison.mismatches.iter().filter(|(_, mismatch)| is(mismatch)).count();
    let kinds = [
        (count(|mismatch| matches!(mismatch, Mismatch::OnlyInReference)), "only in the reference"),
        (count(|mismatch| matches!(mismatch, Mismatch::OnlyInOther)), "not in the reference"),
        (count(|mismatch| matches!(mismatch, Mismatch::Shape { .. })), "of another shape"),
        (count(|mismatch| matches!(mismatch, Mismatch::NotWeights { .. })), "without weights"),
    ];
    let kinds = kinds.iter().filter(|(count, _)| *count > 0);
    kinds.map(|(count, reason)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
}

fn formats(tensor: &TensorDistortion) -> String {
    if tensor.reference == tensor.other {
        tensor.other.to_string()
    } else {
        format!("{} -> {}", tensor.reference, tensor.other)
    }
}

fn figures(distortion: &Distortion) -> String {
    let Distortion { weights, rmse, max_error, sqnr_db, cosine, .. } = distortion;
    format!("{weights:>11} {sqnr_db:>9.2} {rmse:>11.3e} {max_error:>11.3e}  {cosine:.6}")
}

fn to_json(comparison: &Comparison) -> Value {
    let tensors = comparison.worst_first().into_iter().map(|tensor| {
        let mut object = json!({
            "name": tensor.name,
            "reference": tensor.reference.name(),
            "format": tensor.other.name(),
        });
        add_figures(&mut object, &tensor.distortion);
        object
    });
    let mismatches = comparison.mismatches.iter();
    let mismatches =
        mismatches.map(|(name, mismatch)| json!({ "name": name, "reason": mismatch.to_string() }));
    let mut total = json!({
        "tensors": comparison.tensors.len(),
        "not_compared": comparison.mismatches.len(),
    });
    add_figures(&mut total, &comparison.total);
    json!({
        "tensors": tensors.collect::<Vec<_>>(),
        "not_compared": mismatches.collect::<Vec<_>>(),
        "total": total,
    })
}

/// Adds the figures to an object. JSON has no infinity, so an infinite SQNR is null.
pub(super) fn add_figures(object: &mut Value, distortion: &Distortion) {
    object["weights"] = json!(distortion.weights);
    object["sqnr_db"] = json!(distortion.sqnr_db);
    object["rmse"] = json!(distortion.rmse);
    object["max_error"] = json!(distortion.max_error);
    object["cosine"] = json!(distortion.cosine);
}
