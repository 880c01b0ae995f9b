//! Products of quantized weights and vectors.

use super::{Float, check_experts, check_length, check_matrix, check_product, dot};
use crate::{Error, Format, Result};

/// y = x·Wᵀ: multiplies the vectors `x` by a matrix of `rows` rows and `cols` columns.
///
/// `bytes` holds the blocks of the matrix row by row. `x` has any number of vectors of `cols` numbers, and
/// `y` as many of `rows`. Sums are f64 and are rounded to f32, then to f16 or bf16. Fails with
/// [`Error::Number`], [`Error::RowLength`] or [`Error::Length`] if lengths do not match.
pub fn matmul<X: Float, Y: Float>(
    format: Format,
    rows: usize,
    cols: usize,
    bytes: &[u8],
    x: &[X],
    y: &mut [Y],
) -> Result<()> {
    check_matrix(format, rows, cols, bytes.len())?;
    check_product(rows, cols, x, y)?;
    for (x, y) in x.chunks(cols).zip(y.chunks_mut(rows)) {
        multiply(format, bytes, x, y)?;
    }
    Ok(())
}

/// [`matmul`] for a mixture of experts: multiplies each vector by the matrices of the experts that it is
/// assigned to.
///
/// `bytes` holds the matrices of all experts one after another, with `expert_rows` rows each. `numbers` has
/// the experts of each vector, counted from 0, the same number for each vector. `y` has `expert_rows` numbers
/// for each of them. Fails like [`matmul`], and with [`Error::Number`] for a number that is not that of an
/// expert.
pub fn matmul_indexed<X: Float, Y: Float>(
    format: Format,
    expert_rows: usize,
    cols: usize,
    bytes: &[u8],
    x: &[X],
    numbers: &[u32],
    y: &mut [Y],
) -> Result<()> {
    let row_blocks = cols / format.info().block_weights;
    let rows = bytes.len() / (row_blocks * format.info().block_bytes).max(1);
    check_matrix(format, rows, cols, bytes.len())?;
    let vectors = x.len() / cols;
    check_length("the length of x", vectors * cols, x.len())?;
    let top_k = numbers.len() / vectors.max(1);
    check_experts(rows, expert_rows, top_k)?;
    check_length("the number of experts", vectors * top_k, numbers.len())?;
    check_length("the length of y", numbers.len() * expert_rows, y.len())?;
    let experts = rows / expert_rows;
    for (i, (&number, y)) in numbers.iter().zip(y.chunks_mut(expert_rows)).enumerate() {
        if number as usize >= experts {
            let (needed, found) = (format!("less than {experts}"), u64::from(number));
            return Err(Error::Number { what: "the number of an expert", needed, found });
        }
        let expert_bytes = bytes.len() / experts;
        let expert = &bytes[number as usize * expert_bytes..][..expert_bytes];
        multiply(format, expert, &x[i / top_k * cols..][..cols], y)?;
    }
    Ok(())
}

/// Multiplies one vector by all rows.
fn multiply<X: Float, Y: Float>(format: Format, bytes: &[u8], x: &[X], y: &mut [Y]) -> Result<()> {
    let (mut x_buffer, mut y_buffer) = (Vec::new(), Vec::new());
    let x = X::widened(x, &mut x_buffer);
    let row_bytes = bytes.len() / y.len();
    for (row, sum) in bytes.chunks(row_bytes).zip(Y::wide_mut(y, &mut y_buffer)) {
        *sum = dot(format, row, x)? as f32;
    }
    Y::store(y, &y_buffer);
    Ok(())
}
