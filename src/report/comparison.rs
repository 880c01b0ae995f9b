//! The difference between two files, drawn: as a picture, or as a page with its figures.

use super::columns::Table;
use super::data::WeightError;
use super::page::{page, push_figure, push_table};
use super::pictures::layers;
use crate::eval::{Comparison, Distortion};

/// Width of the picture alone, in pixels.
const WIDTH: u32 = 860;

/// The error by layer and role as SVG. `title` names the files.
pub fn comparison_svg(comparison: &Comparison, title: &str) -> String {
    layers(&WeightError::from(comparison).tensors, title, WIDTH)
}

/// The error by layer and role as a page, with the figures of each tensor, worst first.
pub fn comparison_html(comparison: &Comparison, title: &str) -> String {
    let tensors = WeightError::from(comparison).tensors;
    let mut out = String::new();
    let caption = "Tensors that are equal in both files are not shown.";
    push_figure(&mut out, "Error by layer and role", caption, &|width| layers(&tensors, title, width));
    let headings = ["tensor", "formats", "weights", "SQNR dB", "RMSE", "max error", "cosine"];
    let row = |name: &str, formats: String, figures: &Distortion| {
        let sqnr =
            if figures.sqnr_db.is_finite() { format!("{:.2}", figures.sqnr_db) } else { "∞".to_owned() };
        vec![
            name.to_owned(),
            formats,
            figures.weights.to_string(),
            sqnr,
            format!("{:.3e}", figures.rmse),
            format!("{:.3e}", figures.max_error),
            format!("{:.6}", figures.cosine),
        ]
    };
    let mut rows: Vec<Vec<String>> = comparison
        .worst_first()
        .into_iter()
        .map(|tensor| {
            let formats = format!("{} → {}", tensor.reference, tensor.other);
            row(&tensor.name, formats, &tensor.distortion)
        })
        .collect();
    rows.push(row("total", String::new(), &comparison.total));
    for (name, mismatch) in &comparison.mismatches {
        let mut cells = vec![name.clone(), format!("not compared: {mismatch}")];
        cells.resize(headings.len(), String::new());
        rows.push(cells);
    }
    let caption = "Tensors, worst first".to_owned();
    let table = Table { caption, headings: headings.map(str::to_owned).to_vec(), rows };
    push_table(&mut out, &table);
    page(title, env!("CARGO_PKG_VERSION"), &out)
}
