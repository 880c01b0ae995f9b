//! A table of kernels as a file: JSON, of one version.

use super::{COLS, Class, Form, Gpu, Kind, Products, ROWS, Tuning, VECTORS, driver, forms};
use crate::gpu::{Precision, cache_file};
use crate::{Error, Format, Result};
use serde_json::{Value, json};
use std::fmt;
use std::fs;
use std::path::Path;

/// Of what is written here; another is not read.
const VERSION: u64 = 1;
/// Most characters of a device in a file's name.
const MOST_CHARACTERS: usize = 160;
const PRECISIONS: [(&str, Precision); 2] = [("exact", Precision::Exact), ("int8", Precision::Int8)];

impl fmt::Display for Form {
    /// As in `subgroup.4`, with the rows, or `tile.split2`, with the spans.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Alone(rows) => write!(f, "alone.{rows}"),
            Kind::Shared(rows) => write!(f, "shared.{rows}"),
            Kind::Subgroup(rows) => write!(f, "subgroup.{rows}"),
            Kind::Tile => f.write_str("tile"),
            Kind::Cooperative => f.write_str("cooperative"),
        }?;
        if self.spans > 1 { write!(f, ".split{}", self.spans) } else { Ok(()) }
    }
}

/// What in a file is not what it should be.
struct Fault {
    what: &'static str,
    needed: String,
    found: String,
}

/// The one of this name.
fn named<T: Copy>(
    all: impl IntoIterator<Item = (impl fmt::Display, T)>,
    what: &'static str,
    object: &Value,
) -> Result<T, Fault> {
    let found = text(object, what)?;
    let mut names = Vec::new();
    for (name, value) in all {
        let name = name.to_string();
        if name == found {
            return Ok(value);
        }
        names.push(name);
    }
    Err(Fault { what, needed: format!("one of {}", names.join(", ")), found: found.to_owned() })
}

/// The text of this name.
fn text<'a>(object: &'a Value, what: &'static str) -> Result<&'a str, Fault> {
    let fault = || Fault { what, needed: "a text".to_owned(), found: object[what].to_string() };
    object[what].as_str().ok_or_else(fault)
}

fn class(classes: &[Class], what: &'static str, object: &Value) -> Result<Class, Fault> {
    named(classes.iter().map(|&class| (class.0, class)), what, object)
}

/// One line of the table.
fn choice(object: &Value) -> Result<(Products, Form), Fault> {
    let format = text(object, "format")?;
    let unknown = |_| Fault { what: "format", needed: "a format".to_owned(), found: format.to_owned() };
    let products = Products {
        format: format.parse::<Format>().map_err(unknown)?,
        precision: named(PRECISIONS, "precision", object)?,
        vectors: class(&VECTORS, "vectors", object)?,
        rows: class(&ROWS, "rows", object)?,
        cols: class(&COLS, "cols", object)?,
    };
    let (_, least) = products.vectors;
    let forms = forms().filter(|form| form.takes(products.precision, least));
    let form = named(forms.map(|form| (form, form)), "kernel", object)?;
    Ok((products, form))
}

fn parse(text_of_file: &str) -> Result<Tuning, Fault> {
    let file: Value = serde_json::from_str(text_of_file).map_err(|error| Fault {
        what: "the text",
        needed: "JSON".to_owned(),
        found: error.to_string(),
    })?;
    if file["version"] != VERSION {
        let found = file["version"].to_string();
        return Err(Fault { what: "version", needed: VERSION.to_string(), found });
    }
    let mut tuning = Tuning {
        adapter: text(&file, "adapter")?.to_owned(),
        driver: text(&file, "driver")?.to_owned(),
        choices: Vec::new(),
    };
    let list = || Fault { what: "choices", needed: "a list".to_owned(), found: file["choices"].to_string() };
    for object in file["choices"].as_array().ok_or_else(list)? {
        let (products, form) = choice(object)?;
        tuning.insert(products, Some(form));
    }
    Ok(tuning)
}

impl Tuning {
    /// The name of the file in which `qmill` keeps a device's table, in a folder `qmill` of the user's cache.
    pub fn file_name(gpu: &Gpu) -> String {
        let device = format!("{} {}", gpu.name(), driver(gpu)).to_lowercase();
        let words: Vec<_> =
            device.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let name: String = words.join("-").chars().take(MOST_CHARACTERS).collect();
        format!("tuning-{name}.json")
    }

    /// Reads a table that [`Tuning::save`] has written.
    ///
    /// Fails with [`Error::Io`], and with [`Error::Tuning`] where the file is no table, is of another version, or names what there is not.
    pub fn load(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), action: "read the tuning", source };
        let bytes = fs::read(path).map_err(io)?;
        parse(&String::from_utf8_lossy(&bytes)).map_err(|Fault { what, needed, found }| Error::Tuning {
            place: path.display().to_string(),
            what,
            needed,
            found,
        })
    }

    /// Writes it to a file, which is complete or what it was before; makes the folder where there is none.
    ///
    /// Fails with [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let choices = self.choices.iter().map(|(products, form)| {
            let precision = PRECISIONS.iter().find(|(_, precision)| *precision == products.precision);
            json!({
                "format": products.format.name(),
                "precision": precision.map(|(name, _)| name),
                "vectors": products.vectors.0,
                "rows": products.rows.0,
                "cols": products.cols.0,
                "kernel": form.to_string(),
            })
        });
        let file = json!({
            "version": VERSION,
            "adapter": self.adapter,
            "driver": self.driver,
            "choices": choices.collect::<Vec<_>>(),
        });
        let io = |source| Error::Io { path: path.to_owned(), action: "write the tuning", source };
        cache_file::write(path, format!("{file:#}\n").as_bytes()).map_err(io)
    }
}
