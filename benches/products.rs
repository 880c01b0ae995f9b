//! Speed of products on the GPU, in weights per second, measured by criterion: `cargo bench --bench
//! products`, or `-- Q4_K`.
//!
//! Each result is checked before it is timed, and the weights rotate through copies that exceed most caches.
//! For GB/s, fractions of the device's limits and other operations, use `qmill bench`. The device is the one
//! that `WGPU_ADAPTER_NAME` names, or the best; without one, nothing is measured.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qmill::bench::{Case, Operation, Settings};
use qmill::gpu::{Activations, DeviceChoice, Matrix, Op};
use qmill::{Device, FORMATS, Format, Gpu, cpu, wgpu};
use std::time::{Duration, Instant};

const ROWS: usize = 4096;
const COLS: usize = 4096;
const COPIES_BYTES: usize = 96 << 20;

/// A product with each of several copies of a matrix.
fn products(gpu: &Gpu, format: Format, int8: bool) -> qmill::Result<Vec<Vec<Op>>> {
    let weights: Vec<f32> = (0..ROWS * COLS).map(|i| (i as f32 * 0.37).sin() * 0.02).collect();
    let mut blocks = vec![0; format.bytes_for(weights.len() as u64) as usize];
    cpu::quantize(format, &weights, &mut blocks)?;
    let buffer = |numbers: usize| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4 * numbers as u64,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    let (x, y) = (buffer(COLS), buffer(ROWS));
    let binding = x.as_entire_buffer_binding();
    let x = if int8 {
        Activations::int8(gpu, binding, 1, COLS)?.shared()
    } else {
        Activations::exact(binding, 1, COLS)
    };
    let copies = (0..=COPIES_BYTES / blocks.len()).map(|_| {
        let matrix = Matrix::new(gpu, format, ROWS, COLS, &blocks)?;
        let product = gpu.prepare_matmul(&matrix, &x, None, &y.as_entire_buffer_binding())?;
        Ok(x.quantize().cloned().into_iter().chain([product]).collect())
    });
    copies.collect()
}

/// Submits `count` products as one pass and waits for them.
fn run(gpu: &Gpu, copies: &[Vec<Op>], count: u64) -> Duration {
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    for op in copies.iter().cycle().take(count as usize).flatten() {
        op.record_in(&mut pass);
    }
    drop(pass);
    let start = Instant::now();
    gpu.queue().submit([encoder.finish()]);
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("the device answers");
    start.elapsed()
}

fn matvec(criterion: &mut Criterion) {
    let Ok(gpu) = Gpu::open(&DeviceChoice::Gpu, None) else {
        eprintln!("there is no adapter: nothing is measured");
        return;
    };
    let device = Device::Gpu(gpu.clone());
    for (name, int8) in [("matvec exact", false), ("matvec int8", true)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements((ROWS * COLS) as u64)).sample_size(10);
        let formats = FORMATS.iter().filter(|info| info.can_quantize() && !(int8 && info.format.is_float()));
        for format in formats.map(|info| info.format) {
            group.bench_function(format.name(), |bench| {
                let case = Case { operation: Operation::Matvec, format, rows: 64, cols: COLS, batch: 1 };
                let quick = Settings::DEFAULT
                    .with_repetitions(1)
                    .with_repetition_time(Duration::ZERO)
                    .with_cache_bytes(0);
                let variant = case.variants(&device)[usize::from(int8)];
                case.measure(&device, variant, &quick).expect("the answer is right");
                let copies = products(&gpu, format, int8).expect("the matrix fits");
                bench.iter_custom(|count| run(&gpu, &copies, count));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, matvec);
criterion_main!(benches);
