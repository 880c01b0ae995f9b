//! Fast products: rows divided among the threads of a pool.

use super::Int8Vectors;
use super::float_rows::{FloatVectors, Multiply};
use super::int8_one::Int8One;
use super::int8_rows::{Int8Rows, ROWS};
use super::int8_vectors::Tile;
use crate::cpu::simd::Level;
use crate::cpu::{check_length, check_matrix, check_product};
use crate::format::{Codes, WithCodes};
use crate::{Error, Format, Result};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Products of weights and numbers that are worth a task of their own: a few microseconds.
const TASK: usize = 1 << 16;

/// Tasks for each thread, if there is work for so many: some threads may be slower, or busy with other work.
const TASKS: usize = 4;

/// Vectors that float weights are multiplied by together.
const FLOAT_TILE: usize = 128;

/// y = x·Wᵀ in integers: multiplies vectors by a matrix of `rows` rows in a quantized format, much faster
/// than [`matmul`](crate::cpu::matmul).
///
/// `bytes` holds the blocks of the matrix row by row; `y` has `rows` numbers for each vector. Rows are
/// divided among the threads of the current rayon pool. Results do not depend on their number.
///
/// Errors: activations are rounded to int8; sums are f32, with at most two additions for each 16 columns.
/// Fails with [`Error::Unsupported`] for F32, F16 and BF16, which have [`matmul_f32`], and with
/// [`Error::Number`], [`Error::RowLength`] or [`Error::Length`] if lengths do not match.
pub fn matmul_int8(format: Format, rows: usize, bytes: &[u8], x: &Int8Vectors, y: &mut [f32]) -> Result<()> {
    matmul_int8_on(Level::best(), format, rows, bytes, x, y)
}

/// [`matmul_int8`] with the instructions of `level`.
pub(super) fn matmul_int8_on(
    level: Level,
    format: Format,
    rows: usize,
    bytes: &[u8],
    x: &Int8Vectors,
    y: &mut [f32],
) -> Result<()> {
    if format.is_float() {
        let known = "the quantized formats".to_owned();
        return Err(Error::Unsupported { what: "the format", found: format.to_string(), known });
    }
    check_matrix(format, rows, x.cols(), bytes.len())?;
    check_length("the length of y", x.count() * rows, y.len())?;
    let mut done = 0;
    for tile in x.tiles() {
        let y = &mut y[done * rows..][..tile.count * rows];
        let work = x.cols() * tile.count;
        each_row(rows, tile.count, work, y, |rows, sums| {
            let row_bytes = format.bytes_for(x.cols() as u64) as usize;
            format.with_codes(Rows { level, matrix: bytes, row_bytes, range: rows, vectors: tile, sums });
        });
        done += tile.count;
    }
    Ok(())
}

/// y = x·Wᵀ in f32: multiplies vectors of `cols` numbers by a matrix of `rows` rows in F32, F16 or BF16.
///
/// As [`matmul_int8`], but vectors are used as they are. A sum has an addition for each eight columns, and
/// three before or after it. Fails with [`Error::Unsupported`] for other formats, and with [`Error::Number`]
/// or [`Error::Length`] if lengths do not match.
pub fn matmul_f32(
    format: Format,
    rows: usize,
    cols: usize,
    bytes: &[u8],
    x: &[f32],
    y: &mut [f32],
) -> Result<()> {
    matmul_f32_on(Level::best(), format, rows, cols, bytes, x, y)
}

/// [`matmul_f32`] with the instructions of `level`.
pub(super) fn matmul_f32_on(
    level: Level,
    format: Format,
    rows: usize,
    cols: usize,
    bytes: &[u8],
    x: &[f32],
    y: &mut [f32],
) -> Result<()> {
    if !format.is_float() {
        let known = "F32, F16, BF16".to_owned();
        return Err(Error::Unsupported { what: "the format", found: format.to_string(), known });
    }
    check_matrix(format, rows, cols, bytes.len())?;
    check_product(rows, cols, x, y)?;
    let stride = format.bytes_for(cols as u64) as usize;
    for (x, y) in x.chunks(FLOAT_TILE * cols).zip(y.chunks_mut(FLOAT_TILE * rows)) {
        let (count, work) = (x.len() / cols, x.len());
        let x = &FloatVectors::new(x, cols);
        each_row(rows, count, work, y, |rows, sums| {
            level.run(Multiply { format, matrix: bytes, stride, rows, cols, x, sums });
        });
    }
    Ok(())
}

/// Calls `multiply` on ranges of rows that begin at a multiple of [`ROWS`], in parallel, and writes the sums
/// that it leaves into `y`. A row has `work` products for all vectors.
fn each_row(
    rows: usize,
    vectors: usize,
    work: usize,
    y: &mut [f32],
    multiply: impl Fn(Range<usize>, &mut [[f32; ROWS]]) + Sync,
) {
    let groups = rows.div_ceil(ROWS);
    let mut sums = vec![[0.0; ROWS]; groups * vectors];
    // Every thread gets as many tasks as every other.
    let threads = rayon::current_num_threads();
    let tasks = threads * (work * rows / (TASK * threads)).min(TASKS);
    if tasks < 2 || groups < 2 {
        multiply(0..rows, &mut sums);
    } else {
        let task_groups = groups.div_ceil(tasks);
        sums.par_chunks_mut(task_groups * vectors).enumerate().for_each(|(task, sums)| {
            let start = task * task_groups * ROWS;
            multiply(start..(start + task_groups * ROWS).min(rows), sums);
        });
    }
    let store = |(v, y): (usize, &mut [f32])| {
        for (y, sums) in y.chunks_mut(ROWS).zip(sums[v..].iter().step_by(vectors)) {
            y.copy_from_slice(&sums[..y.len()]);
        }
    };
    if vectors < ROWS {
        y.chunks_mut(rows).enumerate().for_each(store);
    } else {
        y.par_chunks_mut(rows).enumerate().for_each(store);
    }
}

/// Rows of a matrix whose format is not known yet.
struct Rows<'a> {
    level: Level,
    matrix: &'a [u8],
    row_bytes: usize,
    range: Range<usize>,
    vectors: &'a Tile,
    sums: &'a mut [[f32; ROWS]],
}

impl WithCodes for Rows<'_> {
    type Output = ();

    fn run<const BYTES: usize, C: Codes<BYTES>>(self) {
        let Self { level, matrix, row_bytes, range: rows, vectors, sums } = self;
        let (codes, Tile { count, blocks, single }) = (PhantomData::<C>, vectors);
        if *count == 1 {
            level.run(Int8One { matrix, row_bytes, rows, blocks, single, sums, codes });
        } else {
            level.run(Int8Rows { matrix, row_bytes, rows, vectors, sums, codes });
        }
    }
}
