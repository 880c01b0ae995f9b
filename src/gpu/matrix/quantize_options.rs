//! Options for quantizing weights into a matrix.

use crate::{Format, Result};

/// Which weights are rejected.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Check {
    /// Rejects NaN and infinity in weights and scales, and scales that are too large for the format, as for
    /// files.
    #[default]
    Finite,
    /// Rejects nothing. The result for such weights is unspecified.
    Nothing,
}

/// How weights are quantized. A [`Format`] stands for its defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuantizeOptions {
    /// The format of the matrix.
    pub format: Format,
    /// Which weights are rejected.
    pub check: Check,
    /// The name in errors; by default `the matrix`.
    pub name: String,
}

impl QuantizeOptions {
    /// Quantizes to `format`, with the default check.
    pub fn new(format: Format) -> Self {
        Self { format, check: Check::default(), name: "the matrix".to_owned() }
    }

    /// Sets the check.
    #[must_use]
    pub fn with_check(self, check: Check) -> Self {
        Self { check, ..self }
    }

    /// Sets the name in errors.
    #[must_use]
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }
}

impl From<Format> for QuantizeOptions {
    fn from(format: Format) -> Self {
        Self::new(format)
    }
}

/// Fails if a weight or a scale in `bytes` is not finite. The first weight is weight `first` of a matrix with
/// rows of `cols`.
pub(super) fn check_finite(
    name: &str,
    format: Format,
    bytes: &[u8],
    first: u64,
    cols: usize,
    check: Check,
) -> Result<()> {
    if check == Check::Nothing {
        return Ok(());
    }
    format.check_finite(bytes, |weight| {
        let at = first + weight as u64;
        (name.to_owned(), at / cols as u64, at % cols as u64)
    })
}
