//! How weights that become a matrix are quantized, and what is checked before.

use crate::{Format, Result};

/// What is looked for in weights before they are taken.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Check {
    /// NaN and infinity, in weights and in scales, and scales that are too large for the format: what a file
    /// is refused for.
    #[default]
    Finite,
    /// Nothing. What such weights become is unspecified.
    Nothing,
}

/// How weights are quantized. A [`Format`] stands for its defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuantizeOptions {
    /// What they become.
    pub format: Format,
    /// What they are refused for.
    pub check: Check,
    /// What errors call them; by default `the matrix`.
    pub name: String,
}

impl QuantizeOptions {
    /// Weights become `format`, and are refused as those of files are.
    pub fn new(format: Format) -> Self {
        Self { format, check: Check::default(), name: "the matrix".to_owned() }
    }

    /// The same with another check.
    #[must_use]
    pub fn with_check(self, check: Check) -> Self {
        Self { check, ..self }
    }

    /// The same with a name for errors.
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

/// The error for what is wrong with blocks whose first weight is weight `first` of rows of `cols`: a weight
/// or a scale that is not finite.
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
