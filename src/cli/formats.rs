//! `qmill formats`: the formats and file types.

use super::failure::Failure;
use clap::Args;
use qmill::mix::{FILE_TYPES, FileTypeInfo, IMATRIX_FILE_TYPES};
use qmill::{FORMATS, Format};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Lists the formats of tensors and the types of files.
#[derive(Args)]
pub(crate) struct Formats {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Formats {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", to_json())?;
        } else {
            write_text(&mut out)?;
        }
        Ok(())
    }
}

fn write_text(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "Formats: how a tensor is encoded, q being the code of a weight")?;
    writeln!(out, "  name     family       bits/weight  block  bytes  encoder  formula")?;
    for info in &FORMATS {
        let (bits, encoder) = (info.bits_per_weight(), yes_or_no(info.can_quantize()));
        writeln!(
            out,
            "  {:<8} {:<12} {bits:>11.4} {:>6} {:>6}  {encoder:<7}  {}",
            info.name, info.family, info.block_weights, info.block_bytes, info.formula
        )?;
    }
    writeln!(out, "\nFile types: which formats the tensors of a file get")?;
    writeln!(out, "  name       number  about")?;
    for info in &FILE_TYPES {
        let number = info.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let not_yet = if can_make(info) { "" } else { " (not encoded by qmill yet)" };
        writeln!(out, "  {:<10} {number:>6}  {}{not_yet}", info.name, info.about)?;
    }
    writeln!(out, "\nFile types that need an importance matrix, which qmill does not take yet")?;
    writeln!(out, "  name       number  instead")?;
    for info in &IMATRIX_FILE_TYPES {
        writeln!(out, "  {:<10} {:>6}  {}", info.name, info.number, info.instead)?;
    }
    Ok(())
}

fn to_json() -> Value {
    let formats = FORMATS.iter().map(|info| {
        json!({
            "name": info.name,
            "ggml_id": info.ggml_id,
            "family": info.family.to_string(),
            "bits_per_weight": info.bits_per_weight(),
            "block_weights": info.block_weights,
            "block_bytes": info.block_bytes,
            "encoder": info.can_quantize(),
            "formula": info.formula,
        })
    });
    let file_types = FILE_TYPES.iter().map(|info| {
        json!({
            "name": info.name,
            "number": info.number,
            "format": info.format.map(Format::name),
            "encoder": can_make(info),
            "about": info.about,
        })
    });
    let imatrix_file_types = IMATRIX_FILE_TYPES
        .iter()
        .map(|info| json!({ "name": info.name, "number": info.number, "instead": info.instead.name() }));
    json!({
        "formats": formats.collect::<Vec<_>>(),
        "file_types": file_types.collect::<Vec<_>>(),
        "imatrix_file_types": imatrix_file_types.collect::<Vec<_>>(),
    })
}

/// Whether qmill can encode the default format.
fn can_make(info: &FileTypeInfo) -> bool {
    info.format.is_none_or(|format| format.info().can_quantize())
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
