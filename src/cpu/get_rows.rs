//! Rows of quantized weights as floats.

use super::{Float, check_matrix, check_rows};
use crate::{Format, Result};

/// Decodes the rows with these `numbers`, counted from 0, of a matrix of `rows` rows and `cols` columns.
///
/// `bytes` holds the blocks of the matrix row by row. `result` has `cols` elements for each number. Fails
/// with [`Error::Number`](crate::Error::Number) if a number is not that of a row, and with that,
/// [`Error::RowLength`](crate::Error::RowLength) or [`Error::Length`](crate::Error::Length) if lengths do not
/// match.
pub fn get_rows<W: Float>(
    format: Format,
    rows: usize,
    cols: usize,
    bytes: &[u8],
    numbers: &[u32],
    result: &mut [W],
) -> Result<()> {
    check_matrix(format, rows, cols, bytes.len())?;
    check_rows(rows, cols, numbers, result)?;
    let row_bytes = bytes.len() / rows;
    let mut buffer = Vec::new();
    for (&number, result) in numbers.iter().zip(result.chunks_mut(cols)) {
        let start = number as usize * row_bytes;
        format.dequantize_blocks(&bytes[start..start + row_bytes], W::wide_mut(result, &mut buffer));
        W::store(result, &buffer);
    }
    Ok(())
}
