//! Products on the CPU: the reference, and the fast ones.

use super::case::Case;
use super::cpu_conversion::threads;
use super::data::{self, Blocks};
use super::product::{Variant, bound, check};
use super::timing::{Accuracy, Run, Settings, Timing, time_in_turns};
use crate::cpu::{self, Int8Vectors};
use crate::gpu::{Lap, Precision};
use crate::threads::{Threads, in_parallel};
use crate::{Result, cpu::matmul_f32, cpu::matmul_int8};
use std::cell::Cell;
use std::time::Instant;

/// Checks the result of each fast variant, and times all in turns. The reference has no error.
pub(super) fn measure(
    case: &Case,
    variants: &[Variant],
    settings: &Settings,
) -> Result<Vec<(Timing, Option<Accuracy>)>> {
    cpu::check_positive("the batch", case.batch)?;
    let threads = threads(settings)?;
    let pool = Threads::new(Some(threads)).pool()?;
    let Case { format, rows, cols, batch, .. } = *case;
    let blocks = Blocks::new(format, rows, cols)?;
    let matrices = vec![blocks.rows(rows); case.copies(settings)];
    let x = data::activations(batch, cols);
    let reference = |bytes: &[u8], y: &mut [f32]| reference(case, threads, bytes, &x, y);
    let fast = |variant: Variant, bytes: &[u8], y: &mut [f32]| {
        pool.install(|| match variant.precision() {
            Precision::Int8 => matmul_int8(format, rows, bytes, &Int8Vectors::new(&x, cols)?, y),
            Precision::Exact => matmul_f32(format, rows, cols, bytes, &x, y),
        })
    };
    let multiply = |variant: Variant, bytes: &[u8], y: &mut [f32]| {
        if variant.is_fast_on_cpu() { fast(variant, bytes, y) } else { reference(bytes, y) }
    };
    let accuracy = |variant: Variant| {
        if !variant.is_fast_on_cpu() {
            return Ok(None);
        }
        // NaNs, so that a missing result is found.
        let mut y = vec![f32::NAN; batch * rows];
        fast(variant, &matrices[0], &mut y)?;
        let bound = Accuracy { error: 0.0, bound: bound(case, variant) };
        check(case, &blocks, &x, &y, bound, "CPU").map(Some)
    };
    let accuracies = variants.iter().map(|&variant| accuracy(variant)).collect::<Result<Vec<_>>>()?;
    // One rotation through the copies for all, so that none finds in the cache what the one before has read.
    let next = Cell::new(0);
    let runs = variants.iter().map(|&variant| -> Run {
        let (multiply, next, matrices) = (&multiply, &next, &matrices);
        let mut y = vec![0.0; batch * rows];
        Box::new(move |count| {
            let start = Instant::now();
            for _ in 0..count {
                let copy = next.replace(next.get() + 1) % matrices.len();
                multiply(variant, &matrices[copy], &mut y)?;
            }
            Ok(Lap { wall: start.elapsed(), device: None })
        })
    });
    let timings = time_in_turns(settings, &mut runs.collect::<Vec<_>>())?;
    Ok(timings.into_iter().zip(accuracies).collect())
}

/// The reference, on several threads, each of which has the results of its rows together.
fn reference(case: &Case, threads: usize, bytes: &[u8], x: &[f32], y: &mut [f32]) -> Result<()> {
    let Case { format, rows, cols, batch, .. } = *case;
    let chunk_rows = rows.div_ceil(threads);
    let chunk_bytes = format.bytes_for((chunk_rows * cols) as u64) as usize;
    let work = bytes.chunks(chunk_bytes).zip(y.chunks_mut(batch * chunk_rows));
    in_parallel(threads, work.collect(), |(bytes, y): (&[u8], &mut [f32])| {
        cpu::matmul(format, y.len() / batch, cols, bytes, x, y)
    })
}
