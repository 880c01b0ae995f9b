//! `qmill compare`: what quantizing cost, tensor by tensor.

use super::failure::Failure;
use super::show;
use clap::Args;
use qmill::eval::{self, Comparison, Distortion, TensorDistortion};
use qmill::gguf::Model;
use qmill::stream::Resources;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Compares the weights of a model with those of a reference, worst tensor first.
///
/// With a the weights of A and b those of B: RMSE = √(Σ(a-b)²/n), max error = max |a-b|,
/// SQNR = 10·log10(Σa²/Σ(a-b)²) dB, which is infinite for equal weights, cosine = Σab/√(Σa²·Σb²).
#[derive(Args)]
pub(crate) struct Compare {
    /// The reference, such as the F16 model
    #[arg(value_name = "A")]
    reference: PathBuf,
    /// The model to judge
    #[arg(value_name = "B")]
    model: PathBuf,
    /// Threads that compute; the result does not depend on it [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Print one JSON object; `sqnr_db` is null where it is infinite
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (reference, model) = (Model::open(&self.reference)?, Model::open(&self.model)?);
        let threads = self.threads.unwrap_or(Resources::default().threads);
        let comparison = eval::distortion(&reference, &model, threads)?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", to_json(&comparison))?;
        } else {
            write_text(&comparison, &mut out)?;
        }
        Ok(())
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
    let compared = format!("{} tensors", rows.len());
    writeln!(out, "{:name_width$}  {compared:<16} {}", "total", figures(&comparison.total))
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
    let mut total = json!({});
    add_figures(&mut total, &comparison.total);
    json!({
        "tensors": tensors.collect::<Vec<_>>(),
        "not_compared": mismatches.collect::<Vec<_>>(),
        "total": total,
    })
}

/// Adds the figures to an object. JSON has no infinity: an infinite SQNR is null.
pub(super) fn add_figures(object: &mut Value, distortion: &Distortion) {
    object["weights"] = json!(distortion.weights);
    object["sqnr_db"] = json!(distortion.sqnr_db);
    object["rmse"] = json!(distortion.rmse);
    object["max_error"] = json!(distortion.max_error);
    object["cosine"] = json!(distortion.cosine);
}
