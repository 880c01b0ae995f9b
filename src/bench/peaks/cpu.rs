//! Measures the CPU's limits by loops that do one thing only, on several threads.

use super::best::{Way, best};
use super::rates::Peaks;
use crate::gpu::Lap;
use crate::threads::in_parallel;
use crate::{Result, cpu};
use multiversion::multiversion;
use std::hint::black_box;
use std::time::Instant;

/// Numbers of independent chains in a loop of multiply-adds: for each, as many vector instructions are under
/// way as some instruction set needs.
const CHAINS: [usize; 5] = [16, 32, 64, 128, 192];
/// Loop iterations of a run.
const ROUNDS: u64 = 1 << 14;
/// And of a run of dot products.
const DOT_ROUNDS: u64 = 1 << 8;
/// Factor and summand: repeated v·m + c approaches c / (1 - m).
const OPERANDS: [f32; 2] = [0.999, 0.001];
/// Words that a loop adds up side by side.
const LANES: usize = 64;

/// Bytes of the rows of which eight are read side by side: by several streams, some processors read faster.
const READ_ROWS: [usize; 3] = [1 << 10, 1 << 13, 1 << 16];

/// Adds up words, so that no read can be dropped.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0u64; LANES];
    for words in words.as_chunks::<LANES>().0 {
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
}

/// `ROUNDS` multiplications and additions of each of `N` independent numbers.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn chains<const N: usize>(factor: f32, summand: f32) -> f32 {
    let mut numbers = [1.5f32; N];
    for _ in 0..ROUNDS {
        for number in &mut numbers {
            *number = *number * factor + summand;
        }
    }
    numbers.iter().sum()
}

/// The same fused, as in the fast products.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn fused_chains<const N: usize>(factor: f32, summand: f32) -> f32 {
    let mut numbers = [1.5f32; N];
    for _ in 0..ROUNDS {
        for number in &mut numbers {
            *number = number.mul_add(factor, summand);
        }
    }
    numbers.iter().sum()
}

/// Runs each item's work `count` times on its own thread, and times all.
fn lap<T: Send>(count: u64, items: Vec<T>, work: impl Fn(&mut T) + Sync) -> Result<Lap> {
    let start = Instant::now();
    in_parallel(items.len(), items, |mut item| {
        (0..count).for_each(|_| work(&mut item));
        Ok(())
    })?;
    Ok(Lap { wall: start.elapsed(), device: None })
}

/// Whether fused multiply-adds are instructions of this processor, not calls.
fn has_fused() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    cfg!(target_arch = "aarch64")
}

/// Measures the CPU on so many threads, by two buffers of `bytes` bytes.
pub(super) fn measure(bytes: u64, threads: usize) -> Result<Peaks> {
    let words = (bytes / 8) as usize;
    // Not 0: pages that were never written are all the same page.
    let (mut source, mut target) = (vec![1u64; words], vec![1u64; words]);
    let part = words.div_ceil(threads).next_multiple_of(LANES);
    let work = bytes as f64;
    let mut reads = vec![Way {
        work,
        run: Box::new(|count| {
            lap(count, source.chunks(part).collect(), |words| {
                black_box(sum(black_box(words)));
            })
        }),
    }];
    let shared = &source;
    reads.extend(READ_ROWS.map(|row_bytes| Way {
        work,
        run: Box::new(move |count| {
            lap(count, shared.chunks(part).collect(), |words| {
                cpu::read_loop(bytemuck::cast_slice(black_box(words)), row_bytes);
            })
        }),
    }));
    let buffer_read = best(reads)?;
    let copy = best(vec![Way {
        work: 2.0 * work,
        run: Box::new(|count| {
            let parts = source.chunks(part).zip(target.chunks_mut(part)).collect();
            lap(count, parts, |(from, to)| black_box(to).copy_from_slice(black_box(from)))
        }),
    }])?;
    let write = best(vec![Way {
        work,
        run: Box::new(|count| {
            lap(count, source.chunks_mut(part).collect(), |words| black_box(words).fill(black_box(2)))
        }),
    }])?;
    let runs: [fn(f32, f32) -> f32; CHAINS.len()] = [
        chains::<{ CHAINS[0] }>,
        chains::<{ CHAINS[1] }>,
        chains::<{ CHAINS[2] }>,
        chains::<{ CHAINS[3] }>,
        chains::<{ CHAINS[4] }>,
    ];
    let fused_runs: [fn(f32, f32) -> f32; CHAINS.len()] = [
        fused_chains::<{ CHAINS[0] }>,
        fused_chains::<{ CHAINS[1] }>,
        fused_chains::<{ CHAINS[2] }>,
        fused_chains::<{ CHAINS[3] }>,
        fused_chains::<{ CHAINS[4] }>,
    ];
    let fused = CHAINS.into_iter().zip(fused_runs).filter(|_| has_fused());
    let ways = CHAINS.into_iter().zip(runs).chain(fused).map(|(chains, run)| Way {
        work: 2.0 * (chains * threads) as f64 * ROUNDS as f64,
        run: Box::new(move |count| {
            lap(count, vec![(); threads], |()| {
                let [factor, summand] = OPERANDS;
                black_box(run(black_box(factor), black_box(summand)));
            })
        }),
    });
    let dots = Way {
        work: (cpu::DOT_LOOP_ROUND * DOT_ROUNDS) as f64 * threads as f64,
        run: Box::new(|count| lap(count, vec![(); threads], |()| cpu::dot_loop(DOT_ROUNDS))),
    };
    Ok(Peaks {
        copy,
        write,
        read: buffer_read,
        buffer_read,
        multiply_add: best(ways.collect())?,
        dot: Some(best(vec![dots])?),
        matrix: None,
        launch: None,
    })
}
