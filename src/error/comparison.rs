//! What is wrong with two models that are compared.

use std::path::PathBuf;

/// Why two models cannot be compared.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComparisonFault {
    /// A weight is infinite or not a number.
    #[error("{path}: {tensor}: row {row}, column {column} is {value}, which compares with nothing",
        path = path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The row, counted from 0 through all matrices of the tensor.
        row: u64,
        /// The column, counted from 0.
        column: u64,
        /// The decoded weight.
        value: f32,
    },

    /// The two models have no tensor that can be compared.
    #[error(
        "{reference} and {other} have no tensor to compare; only in the first: {only_in_reference}, only in \
         the second: {only_in_other}, of other shapes: {other_shape}, without weights: {not_weights}",
        reference = reference.display(), other = other.display()
    )]
    NothingInCommon {
        /// The file of the reference.
        reference: PathBuf,
        /// The file of the other model.
        other: PathBuf,
        /// Number of tensors that only the reference has.
        only_in_reference: usize,
        /// Number of tensors that only the other model has.
        only_in_other: usize,
        /// Number of tensors of both models whose shapes differ.
        other_shape: usize,
        /// Number of tensors of both models that hold no weights in one of them.
        not_weights: usize,
    },

    /// A file does not hold a base's predictions.
    #[error("{path}: a file of base logits was expected, and this is {found}", path = path.display())]
    NotBaseLogits {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },

    /// A file holds the predictions of another base, or for another text.
    #[error(
        "{path}: {what} was {found} when the base's logits were kept, and is {needed} now; \
         another file, or none, has them computed again",
        path = path.display()
    )]
    OtherBase {
        /// The file.
        path: PathBuf,
        /// The first property in which they differ.
        what: &'static str,
        /// Its value in the file.
        found: String,
        /// Its value here.
        needed: String,
    },

    /// A file is no report of `qmill report`.
    #[error("{path}: a report of `qmill report` as JSON was expected: {found}", path = path.display())]
    NotAReport {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },

    /// Two reports are of other bases or texts, or measured otherwise.
    #[error("{first} and {other} cannot be joined: {what} is {here} in the first and {there} in the second",
        first = first.display(), other = other.display())]
    OtherReport {
        /// The first report.
        first: PathBuf,
        /// The other report.
        other: PathBuf,
        /// What differs.
        what: String,
        /// Its value in the first report.
        here: String,
        /// Its value in the other.
        there: String,
    },
}
