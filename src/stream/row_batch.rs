//! The unit of work of a run.

use super::{PlannedFile, PlannedTensor};
use std::ops::Range;

/// Bytes of buffer for one row. The input and output of a buffer are swapped when a tensor is copied, so each
/// has room for the longer form of the row.
pub(super) fn row_bytes(tensor: &PlannedTensor) -> u64 {
    let longer = tensor.from.bytes().max(tensor.to.bytes());
    2 * longer.checked_div(tensor.from.rows()).unwrap_or(0)
}

/// A batch of rows of one tensor: what is read, converted and written at a time.
#[derive(Clone)]
pub(super) struct RowBatch<'a> {
    pub(super) tensor: &'a PlannedTensor,
    pub(super) rows: Range<u64>,
}

impl RowBatch<'_> {
    /// The bytes of its rows, where all rows take `tensor_bytes`.
    pub(super) fn bytes_of(&self, tensor_bytes: u64) -> Range<u64> {
        let row_bytes = tensor_bytes.checked_div(self.tensor.from.rows()).unwrap_or(0);
        self.rows.start * row_bytes..self.rows.end * row_bytes
    }

    /// Row and column of its `weight`th weight.
    pub(super) fn position(&self, weight: usize) -> (u64, u64) {
        let row_len = self.tensor.from.row_len();
        (self.rows.start + weight as u64 / row_len, weight as u64 % row_len)
    }
}

/// The work for one file, in order: as few batches as possible for each tensor, but at least one, so that
/// progress is reported for each.
pub(super) fn row_batches(file: &PlannedFile, batch_bytes: u64) -> impl Iterator<Item = RowBatch<'_>> {
    file.tensors.iter().flat_map(move |tensor| {
        let rows = tensor.from.rows();
        let step = (batch_bytes / row_bytes(tensor).max(1)).max(1);
        let starts = (0..rows.max(1)).step_by(step as usize);
        starts.map(move |start| RowBatch { tensor, rows: start..(start + step).min(rows) })
    })
}
