//! Operations that are awaited: the library polls the device.

use super::{COLS, FORMAT, ROWS, matrix};
use crate::gpu::another_device;
use crate::gpu::parity::buffer;
use crate::support::{gaussian, quantized};
use qmill::gpu::{Activations, Converter, GpuOptions, Kernel, Precision};
use qmill::wgpu::BufferUsages;
use qmill::{Error, Format, Gpu};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Wakes a thread and counts the calls.
struct Count(Thread, AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Relaxed);
        self.0.unpark();
    }
}

/// Waits for a future that is `Send`; returns its output and the number of polls.
pub(super) fn awaited<T>(future: impl Future<Output = T> + Send) -> (T, usize) {
    let count = Arc::new(Count(thread::current(), AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut future = pin!(future);
    for polls in 1.. {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            assert!(polls <= count.1.load(Relaxed) + 1, "it was polled without being woken");
            return (value, polls);
        }
        thread::park();
    }
    unreachable!("the loop has no end")
}

/// Only the library polls these devices, and not in a busy loop.
#[test]
fn async_operations_complete_without_the_app_polling() {
    let Some((device, queue)) = another_device() else { return };
    let (gpu, _) = awaited(Gpu::from_device_async(device, queue, GpuOptions::new()));
    let gpu = gpu.unwrap();
    let matrix = matrix(&gpu);
    let x = gaussian(7, 2 * COLS);
    for precision in [Precision::Exact, Precision::Int8] {
        let mut expected = vec![0.0; 2 * ROWS];
        let mut y = vec![f32::NAN; 2 * ROWS];
        // The first run compiles, in another thread: the first poll does not.
        for run in 0..3 {
            y.fill(f32::NAN);
            let (done, polls) = awaited(gpu.matmul_async(&matrix, precision, &x, &mut y));
            done.unwrap();
            // One poll for each compiled kernel, one for the result if it is not ready at once.
            assert!(polls <= if run == 0 { 4 } else { 2 }, "{polls} polls in run {run}");
            assert!(run > 0 || polls > 1, "it was compiled in the first poll");
        }
        gpu.matmul(&matrix, precision, &x, &mut expected).unwrap();
        assert_eq!(y, expected);
    }
    let (mut rows, mut expected) = (vec![f32::NAN; 2 * COLS], vec![0.0; 2 * COLS]);
    awaited(gpu.get_rows_async(&matrix, &[7, 3], &mut rows)).0.unwrap();
    gpu.get_rows(&matrix, &[7, 3], &mut expected).unwrap();
    assert_eq!(rows, expected);

    let weights = gaussian(5, 256 * 300);
    let source: &[u8] = bytemuck::cast_slice(&weights);
    let mut converter = Converter::new(&gpu, 256 << 10);
    for to in [Format::Q4_K, Format::Q8_0, Format::F16] {
        let mut blocks = vec![0xa5; to.bytes_for(weights.len() as u64) as usize];
        awaited(converter.convert_async(Format::F32, source, to, &mut blocks)).0.unwrap();
        assert!(blocks == quantized(to, &weights), "{to}");
    }
    // A future that is dropped early leaves the converter usable.
    let mut blocks = vec![0; FORMAT.bytes_for(weights.len() as u64) as usize];
    {
        let mut future = pin!(converter.convert_async(Format::F32, source, FORMAT, &mut blocks));
        let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    converter.convert(Format::F32, source, FORMAT, &mut blocks).unwrap();
    assert!(blocks == quantized(FORMAT, &weights));
}

#[test]
fn many_tasks_wait_for_one_device() {
    let Some((device, queue)) = another_device() else { return };
    let gpu = Gpu::from_device(device, queue).unwrap();
    let matrix = matrix(&gpu);
    let x = gaussian(7, COLS);
    let mut expected = vec![0.0; ROWS];
    gpu.matmul(&matrix, Precision::Exact, &x, &mut expected).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let mut y = vec![f32::NAN; ROWS];
                    awaited(gpu.matmul_async(&matrix, Precision::Exact, &x, &mut y)).0.unwrap();
                    assert_eq!(y, expected);
                }
            });
        }
    });
}

#[test]
fn prepare_async_compiles_for_later_operations() {
    let Some((device, queue)) = another_device() else { return };
    let compiled = Arc::new(AtomicUsize::new(0));
    let counted = compiled.clone();
    let rewrite = move |_: &str, text: String| {
        counted.fetch_add(1, Relaxed);
        text
    };
    let gpu = Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap();
    let matrix = matrix(&gpu);
    let [x, y] = [4 * COLS, 4 * ROWS].map(|bytes| buffer(&gpu, &vec![0; bytes], BufferUsages::STORAGE));
    let before = compiled.load(Relaxed);
    let prepared = matrix.clone();
    let prepare = move |gpu: &Gpu| {
        assert_eq!(thread::current().name(), Some("qmill-prepare"));
        let x = Activations::exact(x.as_entire_buffer_binding(), 1, COLS);
        gpu.prepare_matmul(&prepared, &x, None, &y.as_entire_buffer_binding())
    };
    awaited(gpu.prepare_async(prepare)).0.unwrap();
    let after = compiled.load(Relaxed);
    assert!(after > before);
    let mut y = vec![0.0; ROWS];
    let (done, polls) = awaited(gpu.matmul_async(&matrix, Precision::Exact, &gaussian(7, COLS), &mut y));
    done.unwrap();
    assert_eq!(compiled.load(Relaxed), after);
    assert!(polls <= 2, "{polls}");
    let failed = awaited(gpu.prepare_async(|gpu| Kernel::new(gpu, "none", "nonsense", &[]))).0;
    assert!(matches!(failed, Err(Error::Device { .. })));
}
