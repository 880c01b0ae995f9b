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
}
