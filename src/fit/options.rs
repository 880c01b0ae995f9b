//! What to fit, and how.

use super::{Sensitivity, Target};
use crate::Format;

/// What to fit, and how.
///
/// Start from [`Options::new`] and change it with the `with_` methods or field by field.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How large the file is to be.
    pub target: Target,
    /// The formats to choose from, before fallbacks for short rows. By default `Q3_K`, `IQ4_XS`, `Q4_K`,
    /// `Q5_K`, `Q6_K` and `Q8_0`, also `Q2_K` for targets below `Q3_K_M`, and what the fixed mix gives a
    /// tensor.
    pub types: Option<Vec<Format>>,
    /// The most bytes that are read for each token, in parts of those of the fixed mix; only for mixtures of
    /// experts. `None` for no limit.
    pub active_limit: Option<f64>,
    /// How much an error costs in each tensor.
    pub sensitivity: Sensitivity,
}

impl Options {
    /// Active bytes of a mixture of experts, by default, in parts of the fixed mix's.
    pub const DEFAULT_ACTIVE_LIMIT: f64 = 1.15;

    /// The default options for a target.
    pub fn new(target: Target) -> Self {
        let active_limit = Some(Self::DEFAULT_ACTIVE_LIMIT);
        Self { target, types: None, active_limit, sensitivity: Sensitivity::Table }
    }

    /// Sets [`types`](Self::types).
    #[must_use]
    pub fn with_types(self, types: Option<Vec<Format>>) -> Self {
        Self { types, ..self }
    }

    /// Sets [`active_limit`](Self::active_limit).
    #[must_use]
    pub fn with_active_limit(self, active_limit: Option<f64>) -> Self {
        Self { active_limit, ..self }
    }

    /// Sets [`sensitivity`](Self::sensitivity).
    #[must_use]
    pub fn with_sensitivity(self, sensitivity: Sensitivity) -> Self {
        Self { sensitivity, ..self }
    }
}
