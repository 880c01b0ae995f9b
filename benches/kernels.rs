//! Speed of each codec on one thread, in weights per second: `cargo bench`, or `cargo bench -- Q4_K`.
//!
//! Each result is checked before it is timed. The weights (4 MiB as f32) exceed the L2 cache of most
//! processors, as a model's weights do.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use qmill::{FORMATS, Format, cpu};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Normal};
use std::hint::black_box;

const WEIGHTS: usize = 1 << 20;
/// The number of weights that are checked: whole blocks of every format, and more than codecs process at
/// once.
const CHECKED: usize = 4096;

/// Weights like those of a trained layer.
fn gaussian() -> Vec<f32> {
    let normal = Normal::new(0.0, 0.02).expect("the deviation is positive");
    normal.sample_iter(StdRng::seed_from_u64(1)).take(WEIGHTS).collect()
}

fn quantized(format: Format, weights: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; format.bytes_for(weights.len() as u64) as usize];
    cpu::quantize(format, weights, &mut bytes).expect("the format has an encoder");
    bytes
}

fn dequantized(format: Format, bytes: &[u8]) -> Vec<f32> {
    let mut weights = vec![0.0; bytes.len() / format.info().block_bytes * format.info().block_weights];
    cpu::dequantize(format, bytes, &mut weights).expect("the blocks are whole");
    weights
}

/// Many blocks at once must give the same bytes as single blocks, with an error that suits the format.
fn check(format: Format, weights: &[f32], bytes: &[u8]) {
    let info = format.info();
    let mut noise = 0.0;
    let mut signal = 0.0;
    for (weights, block) in weights.chunks(info.block_weights).zip(bytes.chunks(info.block_bytes)) {
        assert_eq!(quantized(format, weights), block, "{format}: a block by itself has other bytes");
        for (w, q) in weights.iter().zip(dequantized(format, block)) {
            noise += f64::from(w - q).powi(2);
            signal += f64::from(*w).powi(2);
        }
    }
    // Three levels keep little of a normal distribution, zeros nothing.
    assert!(noise < signal, "{format}: {noise} of {signal} lost");
}

fn quantize(group: &mut BenchmarkGroup<WallTime>, format: Format, weights: &[f32]) {
    let mut bytes = quantized(format, weights);
    let checked_bytes = format.bytes_for(CHECKED as u64) as usize;
    check(format, &weights[..CHECKED], &bytes[..checked_bytes]);
    group.bench_function(format.name(), |bench| {
        bench.iter(|| cpu::quantize(format, black_box(weights), black_box(&mut bytes)));
    });
}

fn dequantize(group: &mut BenchmarkGroup<WallTime>, format: Format, weights: &[f32]) {
    let bytes = quantized(format, weights);
    let mut decoded = dequantized(format, &bytes);
    let info = format.info();
    for (block, together) in bytes.chunks(info.block_bytes).zip(decoded.chunks(info.block_weights)).take(100)
    {
        assert_eq!(dequantized(format, block), together, "{format}: a block by itself has other weights");
    }
    group.bench_function(format.name(), |bench| {
        bench.iter(|| cpu::dequantize(format, black_box(&bytes), black_box(&mut decoded)));
    });
}

type Direction = fn(&mut BenchmarkGroup<WallTime>, Format, &[f32]);

fn kernels(criterion: &mut Criterion) {
    let weights = gaussian();
    for (name, direction) in [("quantize", quantize as Direction), ("dequantize", dequantize)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(WEIGHTS as u64)).sample_size(10);
        for info in FORMATS.iter().filter(|info| info.can_quantize()) {
            direction(&mut group, info.format, &weights);
        }
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
