//! What was measured of a model, and the file that keeps it.

use crate::error::FitFault;
use crate::gguf::{self, Model};
use crate::stream::{Existing, OutputFile};
use crate::{Error, Format, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// The version of the files. Other versions are refused.
const VERSION: u64 = 1;
/// The relative squared error of tensors, by their name in the source and by format.
pub type Errors = BTreeMap<String, BTreeMap<Format, f64>>;

/// What was measured of a model: the error of each tensor in each format, and sensitivities.
#[derive(Clone, PartialEq, Debug)]
pub struct State {
    /// Identifies the model.
    source: String,
    errors: Errors,
    /// See [`State::sensitivities`].
    sensitivities: BTreeMap<String, f64>,
    /// How the sensitivities were measured.
    method: String,
}

impl State {
    /// Nothing measured, of no model.
    pub(super) fn empty() -> Self {
        let (errors, sensitivities) = (Errors::new(), BTreeMap::new());
        Self { source: String::new(), errors, sensitivities, method: String::new() }
    }

    /// Nothing measured of `model` yet. Reads a few bytes of each tensor, to tell the model from others.
    ///
    /// Fails with [`Error::Io`].
    pub fn new(model: &Model) -> Result<Self> {
        Ok(Self { source: gguf::fingerprint(model)?, ..Self::empty() })
    }

    /// Reads what [`State::save`] has written; a new state if there is no such file.
    ///
    /// Fails with [`FitFault::State`] if it is not such a file or is one of another model, and with
    /// [`Error::Io`].
    pub fn load(path: &Path, model: &Model) -> Result<Self> {
        let mut state = Self::new(model)?;
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(state),
            Err(source) => return Err(Error::Io { path: path.to_owned(), action: "read", source }),
        };
        state.read(&text).map_err(|what| Error::Fit(FitFault::State { path: path.to_owned(), what }))?;
        Ok(state)
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
        let version = value["qmill_fit_state"].as_u64().ok_or("no file of measured errors")?;
        if version != VERSION {
            return Err(format!("version {version}, where {VERSION} was expected"));
        }
        let source = value["source"].as_str().unwrap_or_default();
        if source != self.source {
            return Err(format!("measured of another model ({source}, where this one is {})", self.source));
        }
        let object = |value: &Value, what: &str| -> Result<Map<String, Value>, String> {
            value.as_object().cloned().ok_or(format!("{what}: expected an object"))
        };
        let number = |value: &Value, what: &str| {
            let number = value.as_f64().filter(|number| number.is_finite() && *number >= 0.0);
            number.ok_or(format!("{what}: expected a number of at least 0, found {value}"))
        };
        for (tensor, formats) in object(&value["errors"], "errors")? {
            let mut errors = BTreeMap::new();
            for (format, error) in object(&formats, &tensor)? {
                let known: Format = format.parse().map_err(|_| format!("{tensor}: no format {format:?}"))?;
                errors.insert(known, number(&error, &tensor)?);
            }
            self.errors.insert(tensor, errors);
        }
        for (name, sensitivity) in object(&value["sensitivities"], "sensitivities")? {
            self.sensitivities.insert(name.clone(), number(&sensitivity, &name)?);
        }
        value["method"].as_str().unwrap_or_default().clone_into(&mut self.method);
        Ok(())
    }

    /// Writes the state as JSON, complete or not at all. Replaces an existing file.
    ///
    /// Fails with the errors of [`OutputFile`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let formats = |errors: &BTreeMap<Format, f64>| -> Value {
            errors.iter().map(|(format, error)| (format.name().to_owned(), json!(error))).collect()
        };
        let errors: Map<String, Value> =
            self.errors.iter().map(|(tensor, errors)| (tensor.clone(), formats(errors))).collect();
        let value = json!({
            "qmill_fit_state": VERSION,
            "source": self.source,
            "errors": errors,
            "sensitivities": self.sensitivities,
            "method": self.method,
        });
        let mut file = OutputFile::create(path, Existing::Replace)?;
        let cannot_write = |source| Error::Io { path: path.to_owned(), action: "write", source };
        writeln!(file, "{value:#}").map_err(cannot_write)?;
        file.commit()
    }

    /// The errors.
    pub fn errors(&self) -> &Errors {
        &self.errors
    }

    /// The error of a tensor in a format, if it was measured.
    pub fn error(&self, tensor: &str, format: Format) -> Option<f64> {
        self.errors.get(tensor)?.get(&format).copied()
    }

    pub(super) fn set_error(&mut self, tensor: &str, format: Format, error: f64) {
        self.errors.entry(tensor.to_owned()).or_default().insert(format, error);
    }

    /// The sensitivities that were measured, by role or by the name of a tensor: divergence in nats for each
    /// unit of relative squared error; and by layer (`blk.3`), how many times more an error costs there.
    /// Empty if none were.
    pub fn sensitivities(&self) -> &BTreeMap<String, f64> {
        &self.sensitivities
    }

    pub(super) fn sensitivity(&self, name: &str) -> Option<f64> {
        self.sensitivities.get(name).copied()
    }

    /// How the sensitivities were measured; empty if they were not.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Forgets sensitivities that were measured in another way.
    #[cfg(feature = "llm")]
    pub(super) fn begin_sensitivities(&mut self, method: &str) {
        if self.method != method {
            self.sensitivities.clear();
            method.clone_into(&mut self.method);
        }
    }

    #[cfg(feature = "llm")]
    pub(super) fn set_sensitivity(&mut self, name: &str, sensitivity: f64) {
        self.sensitivities.insert(name.to_owned(), sensitivity);
    }
}
