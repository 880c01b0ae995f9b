//! Products of quantized weights and vectors.

use super::{check_matrix, check_product, dot};
use crate::{Format, Result};

/// y = x·Wᵀ: the products of all `rows` rows of a matrix of `cols` columns with each row of `x`.
///
/// `bytes` holds the matrix's blocks, row by row; `x` any number of rows of `cols` numbers, `y` as many of `rows`. Sums are
/// f64, rounded once. Fails with [`Error::Number`](crate::Error::Number), [`Error::RowLength`](crate::Error::RowLength) or
/// [`Error::Length`](crate::Error::Length) where lengths do not fit.
pub fn matvec(
    format: Format,
    rows: usize,
    cols: usize,
    bytes: &[u8],
    x: &[f32],
    y: &mut [f32],
) -> Result<()> {
    check_matrix(format, rows, cols, bytes.len())?;
    check_product(rows, cols, x, y)?;
    for (x, y) in x.chunks(cols).zip(y.chunks_mut(rows)) {
        for (row, y) in bytes.chunks(bytes.len() / rows).zip(y) {
            *y = dot(format, row, x)? as f32;
        }
    }
    Ok(())
}
