//! Formats by tensor name.

use crate::Format;
use std::fmt;
#[cfg(feature = "regex")]
use {
    crate::{Error, Result, error::RequestFault},
    regex::Regex,
    std::str::FromStr,
};

/// A format for one tensor, or for all tensors whose name matches a pattern: `ffn_down=Q6_K`.
#[derive(Clone, Debug)]
pub struct TensorRule {
    names: Names,
    pub(super) format: Format,
}

/// The tensors that a rule is for.
#[derive(Clone, Debug)]
enum Names {
    One(String),
    #[cfg(feature = "regex")]
    Matching(Regex),
}

impl TensorRule {
    /// A format for the tensor of exactly this name.
    pub fn named(name: impl Into<String>, format: Format) -> Self {
        Self { names: Names::One(name.into()), format }
    }

    /// Whether a tensor of this name gets the format.
    pub(crate) fn matches(&self, name: &str) -> bool {
        match &self.names {
            Names::One(named) => named == name,
            #[cfg(feature = "regex")]
            Names::Matching(pattern) => pattern.is_match(name),
        }
    }
}

#[cfg(feature = "regex")]
impl FromStr for TensorRule {
    type Err = Error;

    /// Takes `REGEX=FORMAT`, split at the first `=`.
    ///
    /// As in llama-quantize, the pattern is lower-cased (so `\D` means `\d`) and may match anywhere in a
    /// name. The syntax is that of the `regex` crate, which has no look-around and no back-references. Fails
    /// with [`RequestFault::TensorRule`], [`RequestFault::Pattern`] or [`Error::UnknownFormat`].
    fn from_str(rule: &str) -> Result<Self> {
        let (pattern, format) = rule
            .split_once('=')
            .filter(|(pattern, _)| !pattern.is_empty())
            .ok_or_else(|| Error::Request(RequestFault::TensorRule { rule: rule.to_owned() }))?;
        let regex = Regex::new(&pattern.to_ascii_lowercase())
            .map_err(|error| RequestFault::Pattern { pattern: pattern.to_owned(), source: error.into() })
            .map_err(Error::Request)?;
        Ok(Self { names: Names::Matching(regex), format: format.parse()? })
    }
}

impl fmt::Display for TensorRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.names {
            Names::One(name) => write!(f, "{name}={}", self.format),
            #[cfg(feature = "regex")]
            Names::Matching(pattern) => write!(f, "{pattern}={}", self.format),
        }
    }
}
