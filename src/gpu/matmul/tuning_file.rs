//! Reads and writes tuning tables as JSON files.

use super::choose::driver;
use super::tuning::{COLS, Class, ProductClass, ROWS, Tuning, VECTORS};
use super::variant::Variant;
use crate::gpu::Gpu;
use crate::gpu::shader::cache_file;
use crate::{Error, Format, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The version of the files. Other versions are rejected.
const VERSION: u64 = 2;
/// The most characters of a device's name in a file name.
const MOST_CHARACTERS: usize = 160;

/// A field of a file that is wrong.
struct Fault {
    what: &'static str,
    needed: String,
    found: String,
}

/// The string field `what`.
fn text<'a>(object: &'a Value, what: &'static str) -> Result<&'a str, Fault> {
    let fault = || Fault { what, needed: "a string".to_owned(), found: object[what].to_string() };
    object[what].as_str().ok_or_else(fault)
}

/// The class that the field `what` names.
fn class(classes: &[Class], what: &'static str, object: &Value) -> Result<Class, Fault> {
    let found = text(object, what)?;
    let named = classes.iter().find(|(name, _)| *name == found);
    named.copied().ok_or_else(|| {
        let names: Vec<_> = classes.iter().map(|(name, _)| *name).collect();
        Fault { what, needed: format!("one of {}", names.join(", ")), found: found.to_owned() }
    })
}

/// One entry of the table.
fn choice(object: &Value) -> Result<(ProductClass, Variant), Fault> {
    let format = text(object, "format")?;
    let unknown = |_| Fault { what: "format", needed: "a format".to_owned(), found: format.to_owned() };
    let format = format.parse::<Format>().map_err(unknown)?;
    let name = text(object, "kernel")?;
    let fault = |needed| Fault { what: "kernel", needed, found: name.to_owned() };
    let variant: Variant = name.parse().map_err(fault)?;
    let products = ProductClass {
        format,
        vectors: class(&VECTORS, "vectors", object)?,
        rows: class(&ROWS, "rows", object)?,
        cols: class(&COLS, "cols", object)?,
    };
    let (vectors, least) = products.vectors;
    if !variant.takes(least) {
        return Err(fault(format!("a kernel for {vectors} vectors")));
    }
    Ok((products, variant))
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
    let mut tuning = Tuning::of_device(text(&file, "adapter")?.to_owned(), text(&file, "driver")?.to_owned());
    let list = || Fault { what: "choices", needed: "a list".to_owned(), found: file["choices"].to_string() };
    for object in file["choices"].as_array().ok_or_else(list)? {
        let (products, variant) = choice(object)?;
        tuning.insert(products, variant.precision(), Some(variant));
    }
    Ok(tuning)
}

impl Tuning {
    /// The name of a device's tuning file, which `qmill` stores in the folder `qmill` of the user's cache.
    pub fn file_name(gpu: &Gpu) -> String {
        let device = format!("{} {}", gpu.name(), driver(gpu)).to_lowercase();
        let words: Vec<_> =
            device.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let name: String = words.join("-").chars().take(MOST_CHARACTERS).collect();
        format!("tuning-{name}.json")
    }

    /// Reads a table that [`Tuning::save`] wrote.
    ///
    /// Fails with [`Error::Io`], and with [`Error::Tuning`] if the file is not a table, has another version,
    /// or contains an unknown name.
    pub fn load(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), action: "read the tuning", source };
        let bytes = fs::read(path).map_err(io)?;
        parse(&String::from_utf8_lossy(&bytes)).map_err(|Fault { what, needed, found }| Error::Tuning {
            source_name: path.display().to_string(),
            what,
            needed,
            found,
        })
    }

    /// Writes the table to a file and creates the folder if needed. The file is either complete or unchanged.
    ///
    /// Fails with [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let choices = self.choices().map(|(products, variant)| {
            json!({
                "format": products.format.name(),
                "vectors": products.vectors.0,
                "rows": products.rows.0,
                "cols": products.cols.0,
                "kernel": variant.to_string(),
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
