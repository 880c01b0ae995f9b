//! Products of quantized weights and vectors.

use super::{Float, check_experts, check_length, check_matrix, check_product, dot};
use crate::{Error, Format, Result};

/// y = x·Wᵀ: the products of all `rows` rows of a matrix of `cols` columns with each row of `x`.
///
/// `bytes` holds the matrix's blocks, row by row; `x` any number of rows of `cols` numbers, `y` as many of
/// `rows`; both are f32, f16 or bf16. Sums are f64, rounded to f32, and from that to halves. Fails with
/// [`Error::Number`], [`Error::RowLength`] or [`Error::Length`] where lengths do not fit.
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

/// The same for a mixture of experts: each vector is multiplied by the matrices of the experts that it goes to.
///
/// The experts' matrices of `expert_rows` rows each lie one below the other. `numbers` has the experts of each row of `x`, counted from 0, as many for each; `y` has a
/// row of `expert_rows` for each of them. Fails as [`matmul`] does, and with [`Error::Number`] for a number of no expert.
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
    let picks = numbers.len() / vectors.max(1);
    check_experts(rows, expert_rows, picks)?;
    check_length("the number of experts", vectors * picks, numbers.len())?;
    check_length("the length of y", numbers.len() * expert_rows, y.len())?;
    let experts = rows / expert_rows;
    for (i, (&number, y)) in numbers.iter().zip(y.chunks_mut(expert_rows)).enumerate() {
        if number as usize >= experts {
            let (needed, found) = (format!("less than {experts}"), u64::from(number));
            return Err(Error::Number { what: "the number of an expert", needed, found });
        }
        let expert_bytes = bytes.len() / experts;
        let expert = &bytes[number as usize * expert_bytes..][..expert_bytes];
        multiply(format, expert, &x[i / picks * cols..][..cols], y)?;
    }
    Ok(())
}

/// The products of all rows with one vector.
fn multiply<X: Float, Y: Float>(format: Format, bytes: &[u8], x: &[X], y: &mut [Y]) -> Result<()> {
    let (mut x_room, mut y_room) = (Vec::new(), Vec::new());
    let x = X::widened(x, &mut x_room);
    let row_bytes = bytes.len() / y.len();
    for (row, sum) in bytes.chunks(row_bytes).zip(Y::wide_mut(y, &mut y_room)) {
        *sum = dot(format, row, x)? as f32;
    }
    Y::store(y, &y_room);
    Ok(())
}
