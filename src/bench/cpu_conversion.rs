//! A conversion on the CPU, its rows divided among threads.

use super::case::{Case, Operation};
use super::data;
use super::timing::{Settings, Timing, time_work};
use crate::threads::{all_threads, in_parallel};
use crate::{Result, cpu};

/// Times a conversion. As on a GPU, results rotate through copies too: in the cache they would be written
/// faster than memory takes them.
pub(super) fn measure(case: &Case, settings: &Settings) -> Result<Timing> {
    let Case { operation, format, rows, cols, .. } = *case;
    let threads = threads(settings)?;
    let copies = case.copies(settings);
    // Rows of a thread.
    let chunk_rows = rows.div_ceil(threads);
    let chunk_bytes = format.bytes_for((chunk_rows * cols) as u64) as usize;
    let chunk_weights = chunk_rows * cols;
    if operation == Operation::Quantize {
        let weights = vec![data::repeated(&data::weights(rows, cols), rows * cols); copies];
        let mut results = vec![vec![0; format.bytes_for(case.weights()) as usize]; copies];
        return time_work(settings, |i| {
            let bytes = results[i % copies].chunks_mut(chunk_bytes);
            let work = weights[i % copies].chunks(chunk_weights).zip(bytes);
            in_parallel(threads, work.collect(), |(weights, bytes)| cpu::quantize(format, weights, bytes))
        });
    }
    let matrices = vec![data::Blocks::new(format, rows, cols)?.rows(rows); copies];
    let mut results = vec![vec![0.0; rows * cols]; copies];
    time_work(settings, |i| {
        let weights = results[i % copies].chunks_mut(chunk_weights);
        let work = matrices[i % copies].chunks(chunk_bytes).zip(weights);
        in_parallel(threads, work.collect(), |(bytes, weights)| cpu::dequantize(format, bytes, weights))
    })
}

/// The number of threads. Fails with [`Error::Number`](crate::Error::Number) for 0.
pub(super) fn threads(settings: &Settings) -> Result<usize> {
    let threads = settings.threads.unwrap_or_else(all_threads);
    cpu::check_positive("the number of threads", threads)?;
    Ok(threads.min(cpu::MAX_THREADS))
}
