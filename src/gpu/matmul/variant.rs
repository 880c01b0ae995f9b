//! The choice of a kernel for products, with its parameters. Tests and benches choose freely, the library by
//! tables.

use super::decoded_tile::DecodedTile;
use super::matrix_units::MatrixUnits;
use super::precision::Precision;
use Form::{Cooperative, CooperativeDecoded, LargeTile, Shared, Subgroup, ThreadPerRow, Tile};
use std::fmt;
use std::str::FromStr;

/// A kernel for products. [`Display`](fmt::Display) prints its name, such as `int8.subgroup.rows4` or
/// `exact.tile.split_k4`; [`FromStr`] parses it.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variant {
    precision: Precision,
    pub(super) form: Form,
    /// Slices that the columns are split into, each for its own workgroups.
    split_k: usize,
}

/// Which invocations share a sum, and how many rows they compute at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// A thread computes this many rows.
    ThreadPerRow(usize),
    /// Lanes of a workgroup share this many rows.
    Shared(usize),
    /// A subgroup shares this many rows.
    Subgroup(usize),
    /// A workgroup computes a tile.
    Tile,
    /// A workgroup computes a tile of 128 rows and 128 vectors.
    LargeTile,
    /// A workgroup computes a tile by matrix units.
    Cooperative,
    /// The same with weights that are decoded before; a subgroup has 4 matrices of rows by this many of
    /// vectors.
    CooperativeDecoded(usize),
}

/// The forms to choose from.
const FORMS: [Form; 12] = [
    ThreadPerRow(4),
    ThreadPerRow(8),
    Shared(4),
    Shared(2),
    Subgroup(2),
    Subgroup(4),
    Subgroup(8),
    Tile,
    LargeTile,
    Cooperative,
    CooperativeDecoded(4),
    CooperativeDecoded(2),
];
/// The most vectors at once of kernels other than tiles.
pub(super) const MOST_COLUMNS: usize = 8;
/// The numbers of slices that columns may be split into.
pub(super) const SPLITS: [usize; 4] = [1, 2, 4, 8];

impl Variant {
    /// The kernel of this form without split-K.
    pub(super) const fn new(precision: Precision, form: Form) -> Self {
        Self { precision, form, split_k: 1 }
    }

    /// All variants of a precision.
    pub(super) fn every(precision: Precision) -> impl Iterator<Item = Self> {
        let all =
            SPLITS.into_iter().flat_map(move |split_k| FORMS.map(|form| Self { precision, form, split_k }));
        all.filter(|variant| variant.takes(usize::MAX))
    }

    /// The precision of the vectors.
    pub fn precision(self) -> Precision {
        self.precision
    }

    /// How many slices the columns are split into.
    pub(super) fn split_k(self) -> usize {
        self.split_k
    }

    /// This variant with another number of slices.
    pub(super) fn with_split_k(self, split_k: usize) -> Self {
        Self { split_k, ..self }
    }

    /// Whether it is for `batch` vectors: with few, a tile would be mostly padding.
    pub(super) fn takes(self, batch: usize) -> bool {
        match self.form {
            ThreadPerRow(_) | Shared(_) | Subgroup(_) => true,
            Tile => batch > MOST_COLUMNS,
            LargeTile => batch > MOST_COLUMNS && self.precision == Precision::Exact,
            Cooperative | CooperativeDecoded(_) => batch > MOST_COLUMNS && self.precision == Precision::Int8,
        }
    }

    /// What it needs and such a device lacks, if anything.
    pub(super) fn lacks(self, has_subgroups: bool, units: Option<MatrixUnits>) -> Option<&'static str> {
        match self.form {
            Subgroup(_) if !has_subgroups => Some("subgroup operations"),
            Cooperative | CooperativeDecoded(_) if units.is_none() => Some("matrix units"),
            CooperativeDecoded(matrices_beside) => {
                let fits = |units| DecodedTile { units, matrices_beside }.fits();
                if units.is_some_and(fits) { None } else { Some("workgroups of this size") }
            }
            _ => None,
        }
    }

    /// The largest relative error of a factor before multiplication: f16 may be rounded either way.
    pub fn rounding(self) -> f64 {
        match self.form {
            Cooperative | CooperativeDecoded(_) => f64::powi(2.0, -10),
            _ => 0.0,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = self.precision.name();
        let form = match self.form {
            ThreadPerRow(rows) => format!("thread_per_row.rows{rows}"),
            Shared(rows) => format!("shared.rows{rows}"),
            Subgroup(rows) => format!("subgroup.rows{rows}"),
            Tile => "tile".to_owned(),
            LargeTile => "tile.128x128".to_owned(),
            Cooperative => "cooperative".to_owned(),
            CooperativeDecoded(matrices) => format!("cooperative_decoded.4x{matrices}"),
        };
        let split_k = if self.split_k > 1 { format!(".split_k{}", self.split_k) } else { String::new() };
        f.pad(&format!("{precision}.{form}{split_k}"))
    }
}

impl FromStr for Variant {
    /// The known names.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = || [Precision::Exact, Precision::Int8].into_iter().flat_map(Self::every);
        let named = all().find(|variant| variant.to_string() == text);
        named.ok_or_else(|| {
            let names: Vec<_> = all().map(|variant| variant.to_string()).collect();
            format!("one of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_is_parsed_from_its_name() {
        let mut names = std::collections::HashSet::new();
        for variant in [Precision::Exact, Precision::Int8].into_iter().flat_map(Variant::every) {
            assert_eq!(variant.to_string().parse(), Ok(variant));
            assert!(names.insert(variant.to_string()));
        }
        assert_eq!(names.len(), 80);
        let subgroup = Variant::new(Precision::Int8, Subgroup(4)).with_split_k(2);
        assert_eq!(subgroup.to_string(), "int8.subgroup.rows4.split_k2");
        assert!(
            "int8.tiles".parse::<Variant>().unwrap_err().starts_with("one of exact.thread_per_row.rows4, ")
        );
    }
}
