//! The sensitivity of each tensor.

use super::State;
use super::roles::{head_share, layer_weight};
use super::tensors::Tensor;
use std::collections::HashSet;
#[cfg(feature = "regex")]
use {
    crate::{Error, Result, error::FitFault},
    regex::Regex,
    std::path::Path,
};

/// How much an error costs in each tensor.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Sensitivity {
    /// By the table of roles.
    #[default]
    Table,
    /// By rules; by the table where none matches.
    Rules(Vec<SensitivityRule>),
    /// Half-way between the table and what [`State`] holds of the model itself.
    Measured,
}

/// A sensitivity for the tensors whose name matches a pattern.
#[derive(Clone, Debug)]
pub struct SensitivityRule {
    #[cfg(feature = "regex")]
    pattern: Regex,
    #[cfg(not(feature = "regex"))]
    name: String,
    weight: f64,
}

#[cfg(feature = "regex")]
impl SensitivityRule {
    /// Parses a text of such rules: on each line a pattern of the `regex` crate, which may match anywhere in
    /// a name, and a number of at least 0, in the unit of the table: 1 is the mean tensor of a layer. Empty
    /// lines and lines that begin with `#` are left out. The first rule that matches applies.
    ///
    /// Fails with [`FitFault::Rule`], which names `path` and the line.
    pub fn parse_all(text: &str, path: &Path) -> Result<Vec<Self>> {
        let rules =
            text.lines().enumerate().filter_map(|(number, line)| {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    return None;
                }
                Some(Self::parse(line).map_err(|what| {
                    Error::Fit(FitFault::Rule { path: path.to_owned(), line: number + 1, what })
                }))
            });
        rules.collect()
    }

    fn parse(line: &str) -> Result<Self, String> {
        let (pattern, weight) = line.rsplit_once(char::is_whitespace).ok_or("expected PATTERN NUMBER")?;
        let weight: f64 = weight.parse().map_err(|_| format!("{weight:?} is no number"))?;
        if !(weight.is_finite() && weight >= 0.0) {
            return Err(format!("{weight} is no sensitivity: at least 0 and finite"));
        }
        let pattern = pattern.trim();
        let fault = || format!("{pattern:?} is no regular expression that qmill understands");
        Ok(Self { pattern: Regex::new(pattern).map_err(|_| fault())?, weight })
    }
}

impl SensitivityRule {
    fn matches(&self, name: &str) -> bool {
        #[cfg(feature = "regex")]
        return self.pattern.is_match(name);
        #[cfg(not(feature = "regex"))]
        return self.name == name;
    }
}

/// The sensitivity of each tensor that is chosen for, in order. Their sum is 1. `tied` is whether the token
/// embedding is the output matrix too.
pub(super) fn sensitivities(
    tensors: &[Tensor],
    tied: bool,
    sensitivity: &Sensitivity,
    state: &State,
) -> Vec<f64> {
    let mut weights = by_table(tensors, tied);
    match sensitivity {
        Sensitivity::Table => {}
        Sensitivity::Rules(rules) => {
            for (tensor, weight) in tensors.iter().zip(&mut weights) {
                if let Some(rule) = rules.iter().find(|rule| rule.matches(&tensor.name)) {
                    *weight = rule.weight;
                }
            }
        }
        Sensitivity::Measured => blend(tensors, &mut weights, state),
    }
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum.max(f64::MIN_POSITIVE)).collect()
}

/// By role. Heads have fixed shares of the sum.
fn by_table(tensors: &[Tensor], tied: bool) -> Vec<f64> {
    let layer = |tensor: &Tensor| crate::mix::layer(&tensor.name);
    let with_ssm: HashSet<_> = tensors.iter().filter(|t| t.role().starts_with("ssm_")).map(layer).collect();
    let share = |tensor: &Tensor| head_share(tensor.role(), tied);
    let mut weights: Vec<f64> = (tensors.iter())
        .map(|tensor| match share(tensor) {
            Some(_) => 0.0,
            None => layer_weight(tensor.role(), with_ssm.contains(&layer(tensor))),
        })
        .collect();
    let layers: f64 = weights.iter().sum();
    let shares: f64 = tensors.iter().filter_map(share).sum();
    // Without layers, heads are all there is.
    let unit = if layers > 0.0 { layers / (1.0 - shares) } else { 1.0 };
    for (tensor, weight) in tensors.iter().zip(&mut weights) {
        if let Some(share) = share(tensor) {
            *weight = share * unit;
        }
    }
    weights
}

/// A measurement counts as at most so many times the table's number, or one part of it: the random tokens of
/// one run may not touch what a tensor is for.
const MOST_RATIO: f64 = 16.0;

/// The geometric mean of the table and of what was measured, which is scaled to the same sum over the layers.
fn blend(tensors: &[Tensor], weights: &mut [f64], state: &State) {
    let of = |tensor: &Tensor| {
        let by_role = || {
            let layer = tensor.layer().and_then(|layer| state.sensitivity(&layer)).unwrap_or(1.0);
            Some(state.sensitivity(tensor.role())? * layer)
        };
        state.sensitivity(&tensor.source_name).or_else(by_role)
    };
    let is_head = |tensor: &Tensor| head_share(tensor.role(), false).is_some();
    let (mut table_sum, mut measured_sum) = (0.0, 0.0);
    for (tensor, weight) in tensors.iter().zip(&*weights) {
        if let Some(found) = of(tensor).filter(|_| !is_head(tensor)) {
            table_sum += weight;
            measured_sum += found;
        }
    }
    if !(measured_sum > 0.0 && table_sum > 0.0) {
        return;
    }
    let scale = table_sum / measured_sum;
    for (tensor, weight) in tensors.iter().zip(weights) {
        if let Some(found) = of(tensor) {
            let ratio = (found * scale / weight.max(f64::MIN_POSITIVE)).clamp(1.0 / MOST_RATIO, MOST_RATIO);
            *weight *= ratio.sqrt();
        }
    }
}
