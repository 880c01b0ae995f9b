//! The library on an app's own device: what it asks for, what it awaits, and what it says of a device that is
//! gone or another.

use super::parity::{buffer, read, submit};
use super::{adapter, another_device, gpu};
use crate::support::{gaussian, quantized};
use qmill::gpu::{
    Access, Activations, Converter, DeviceChoice, GpuOptions, Kernel, Matrix, Precision, QuantizeBuffers,
    Variant,
};
use qmill::wgpu::{self, BufferUsages, Features};
use qmill::{Device, Error, Format, Gpu, Result};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

const FORMAT: Format = Format::Q4_K;
const ROWS: usize = 32;
const COLS: usize = 2048;

/// A device as an app gets one for qmill.
fn described() -> Option<(wgpu::Adapter, wgpu::Device, wgpu::Queue)> {
    let adapter = adapter()?;
    let descriptor = Gpu::device_descriptor(&adapter);
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    Some((adapter, device, queue))
}

fn matrix(gpu: &Gpu) -> Matrix {
    Matrix::new(gpu, FORMAT, ROWS, COLS, &quantized(FORMAT, &gaussian(3, ROWS * COLS))).unwrap()
}

#[test]
fn the_obvious_way_gets_what_the_adapter_has() {
    let Some((adapter, device, queue)) = described() else { return };
    let options = GpuOptions::new().adapter(&adapter);
    let app = Gpu::from_device_with(device.clone(), queue, options).unwrap().with_weights_in_textures(false);
    let own = Gpu::open(&DeviceChoice::Name(adapter.get_info().name), None).unwrap();
    let own = own.with_weights_in_textures(false);
    // All that qmill's own device has; the cache of pipelines only where there is a folder for it.
    let has = |gpu: &Gpu| gpu.device().features() - Features::PIPELINE_CACHE;
    assert_eq!(has(&app), has(&own));
    assert_eq!(device.limits(), own.device().limits());
    for (precision, batch) in [(Precision::Exact, 1), (Precision::Int8, 1), (Precision::Int8, 512)] {
        let chosen = |gpu: &Gpu| Variant::chosen(gpu, FORMAT, 4096, 4096, precision, batch).to_string();
        assert_eq!(chosen(&app), chosen(&own));
        if batch == 1 {
            let has_subgroups = adapter.features().contains(Features::SUBGROUP);
            assert_eq!(chosen(&app).contains("subgroup"), has_subgroups, "{}", chosen(&app));
        }
    }
    // A device that was asked for nothing has none: the test sees a difference.
    let (device, queue) = another_device().unwrap();
    let plain = Gpu::from_device(device, queue).unwrap();
    let kernel = Variant::chosen(&plain, FORMAT, 4096, 4096, Precision::Exact, 1).to_string();
    assert!(!kernel.contains("subgroup"), "{kernel}");
}

#[test]
fn gpus_and_devices_are_opened() {
    let Some(gpu) = gpu() else { return };
    assert!(matches!(Gpu::open(&DeviceChoice::Cpu, None), Err(Error::NoAdapter { .. })));
    assert!(matches!(Device::open(&DeviceChoice::Cpu, None), Ok(Device::Cpu)));
    let name = DeviceChoice::Name(gpu.device().adapter_info().name);
    assert_eq!(pollster::block_on(Gpu::open_async(&name, None)).unwrap().name(), gpu.name());
    let device = pollster::block_on(Device::open_async(&name, None)).unwrap();
    assert_eq!(device.to_string(), gpu.name());
    assert_eq!(pollster::block_on(qmill::gpu::adapters_async()).len(), qmill::gpu::adapters().len());
}

/// Wakes a thread and counts how often.
struct Count(Thread, AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Relaxed);
        self.0.unpark();
    }
}

/// Waits for a future that may go to another thread; returns how often it was polled.
fn awaited<T>(future: impl Future<Output = T> + Send) -> (T, usize) {
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

/// Nobody but the library polls these devices, and nothing keeps polling.
#[test]
fn what_is_awaited_comes_without_the_app_polling() {
    let Some((device, queue)) = another_device() else { return };
    let (gpu, _) = awaited(Gpu::from_device_async(device, queue, GpuOptions::new()));
    let gpu = gpu.unwrap();
    let matrix = matrix(&gpu);
    let x = gaussian(7, 2 * COLS);
    for precision in [Precision::Exact, Precision::Int8] {
        let mut expected = vec![0.0; 2 * ROWS];
        let mut y = vec![f32::NAN; 2 * ROWS];
        // The first time it compiles, in a thread of its own: the first poll does not.
        for turn in 0..3 {
            y.fill(f32::NAN);
            let (done, polls) = awaited(gpu.matmul_async(&matrix, precision, &x, &mut y));
            done.unwrap();
            // One for each kernel that is compiled, one for the result, if that takes any time.
            assert!(polls <= if turn == 0 { 4 } else { 2 }, "{polls} polls in turn {turn}");
            assert!(turn > 0 || polls > 1, "it was compiled in the first poll");
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
    // One that is dropped on the way leaves a converter of use.
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
fn what_is_prepared_aside_is_there_afterwards() {
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

/// Each operation, on a device that was destroyed before it: what was there already is given.
#[test]
fn a_device_that_is_gone_is_lost_wherever_it_is_met() {
    type Operation = (&'static str, fn(&Gpu, &Matrix, &[wgpu::Buffer; 3]) -> Result<()>);
    let operations: [Operation; 15] = [
        ("prepare_matmul", |gpu, matrix, [x, y, _]| {
            let x = Activations::exact(x.as_entire_buffer_binding(), 1, COLS);
            gpu.prepare_matmul(matrix, &x, None, &y.as_entire_buffer_binding()).map(|_| ())
        }),
        ("prepare_get_rows", |gpu, matrix, [x, y, _]| {
            let (x, y) = (x.as_entire_buffer_binding(), y.as_entire_buffer_binding());
            gpu.prepare_get_rows(matrix, &x, &y, 1).map(|_| ())
        }),
        ("prepare_quantize", |gpu, _, [x, y, _]| {
            let (x, y) = (x.as_entire_buffer_binding(), y.as_entire_buffer_binding());
            let buffers = QuantizeBuffers::new(x.clone(), y.clone(), y.clone(), x);
            gpu.prepare_quantize(Format::F32, FORMAT, 256, &buffers).map(|_| ())
        }),
        ("prepare_dequantize", |gpu, _, [x, y, _]| {
            let (x, y) = (x.as_entire_buffer_binding(), y.as_entire_buffer_binding());
            gpu.prepare_dequantize(FORMAT, Format::F32, 256, &x, &y).map(|_| ())
        }),
        ("Activations::int8", |gpu, _, [x, ..]| {
            Activations::int8(gpu, x.as_entire_buffer_binding(), 1, COLS).map(|_| ())
        }),
        ("Matrix::new", |gpu, _, _| {
            let blocks = quantized(FORMAT, &[0.5; COLS]);
            Matrix::new(gpu, FORMAT, 1, COLS, &blocks).map(|_| ())
        }),
        ("Matrix::new of floats", |gpu, _, _| {
            Matrix::new(gpu, Format::F32, 1, COLS, &[0; 4 * COLS]).map(|_| ())
        }),
        ("Matrix::quantized", |gpu, _, _| {
            Matrix::quantized(gpu, Format::F32, 1, COLS, &[0; 4 * COLS], FORMAT).map(|_| ())
        }),
        ("matmul", |gpu, matrix, _| gpu.matmul(matrix, Precision::Int8, &[1.0; COLS], &mut [0.0; ROWS])),
        ("matmul_async", |gpu, matrix, _| {
            awaited(gpu.matmul_async(matrix, Precision::Exact, &[1.0; COLS], &mut [0.0; ROWS])).0
        }),
        ("get_rows", |gpu, matrix, _| gpu.get_rows(matrix, &[1], &mut [0.0; COLS])),
        ("convert", |gpu, _, _| {
            let mut blocks = quantized(FORMAT, &[0.5; COLS]);
            let mut converter = Converter::new(gpu, 1 << 20);
            converter.convert(Format::F32, &[0; 4 * COLS], FORMAT, &mut blocks).map(|_| ())
        }),
        ("buffer_with", |gpu, _, _| gpu.buffer_with(&[1; 16], BufferUsages::STORAGE).map(|_| ())),
        ("Kernel::new", |gpu, _, _| {
            let wgsl = "@compute @workgroup_size(1) fn main() {}";
            Kernel::new(gpu, "nothing", wgsl, &[Access::Read]).map(|_| ())
        }),
        ("submit_and_read", |gpu, _, [.., readback]| {
            let encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            gpu.submit_and_read(encoder, readback, &mut [0; 16])
        }),
    ];
    let Some(shared) = gpu() else { return };
    let name = DeviceChoice::Name(shared.device().adapter_info().name);
    for (what, operation) in operations {
        // Of an app's device only its silence tells; one of qmill's own has a handler.
        let (device, queue) = another_device().unwrap();
        let app = Gpu::from_device(device.clone(), queue.clone()).unwrap();
        for gpu in [app, Gpu::open(&name, None).unwrap()] {
            let matrix = matrix(&gpu);
            let buffers = [
                (16384, BufferUsages::STORAGE),
                (16384, BufferUsages::STORAGE),
                (16, BufferUsages::MAP_READ | BufferUsages::COPY_DST),
            ]
            .map(|(size, usage)| {
                let (label, mapped_at_creation) = (None, false);
                gpu.device().create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation })
            });
            gpu.device().destroy();
            let result = operation(&gpu, &matrix, &buffers);
            assert!(matches!(result, Err(Error::DeviceLost { .. })), "{what} on {}: {result:?}", gpu.name());
            let again = operation(&gpu, &matrix, &buffers);
            assert!(matches!(again, Err(Error::DeviceLost { .. })), "{what} once more: {again:?}");
        }
        let opened = Gpu::from_device(device, queue);
        assert!(matches!(opened, Err(Error::DeviceLost { .. })), "{opened:?}");
    }
}

#[test]
fn a_device_that_is_destroyed_while_tasks_wait_is_lost_to_them() {
    let Some((device, queue)) = another_device() else { return };
    let gpu = Gpu::from_device(device, queue).unwrap();
    let matrix = matrix(&gpu);
    let x = gaussian(7, COLS);
    let mut y = vec![0.0; ROWS];
    // Compiled.
    gpu.matmul(&matrix, Precision::Exact, &x, &mut y).unwrap();
    let mut future = pin!(gpu.matmul_async(&matrix, Precision::Exact, &x, &mut y));
    let early = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    gpu.device().destroy();
    // What was submitted before may still come, or the loss is met.
    match if early.is_pending() { awaited(future).0 } else { Ok(()) } {
        Ok(()) | Err(Error::DeviceLost { .. }) => {}
        Err(other) => panic!("{other}"),
    }
    let after = awaited(gpu.matmul_async(&matrix, Precision::Exact, &x, &mut [0.0; ROWS])).0;
    assert!(matches!(after, Err(Error::DeviceLost { .. })), "{after:?}");
}

#[test]
fn products_make_their_eight_bits_unless_the_app_does() {
    let Some(gpu) = gpu() else { return };
    let matrix = matrix(gpu);
    let x = gaussian(7, COLS);
    let x_buffer = buffer(gpu, bytemuck::cast_slice(&x), BufferUsages::STORAGE);
    let mut expected = vec![0.0; ROWS];
    gpu.matmul(&matrix, Precision::Int8, &x, &mut expected).unwrap();
    let product = |x: &Activations, records: bool| {
        let y = buffer(gpu, &[0xff; 4 * ROWS], BufferUsages::STORAGE);
        let op = gpu.prepare_matmul(&matrix, x, None, &y.as_entire_buffer_binding()).unwrap();
        submit(gpu, |encoder| {
            if records {
                x.quantize().expect("the app makes them").record(encoder);
            }
            op.record(encoder);
        });
        bytemuck::pod_collect_to_vec::<u8, f32>(&read(gpu, &y))
    };
    let int8 = || Activations::int8(gpu, x_buffer.as_entire_buffer_binding(), 1, COLS).unwrap();
    let (included, shared) = (int8(), int8().shared());
    assert!(included.quantize().is_none());
    assert_eq!(product(&included, false), expected);
    // Blocks that nobody filled are zeros.
    assert_eq!(product(&shared, false), [0.0; ROWS]);
    assert_eq!(product(&shared, true), expected);
    assert_eq!(product(&shared, false), expected);
}

#[test]
fn what_is_of_another_device_is_an_error() {
    let Some((device, queue)) = another_device() else { return };
    let own = Gpu::from_device(device.clone(), queue.clone()).unwrap();
    let (other_device, other_queue) = another_device().unwrap();
    let other = Gpu::from_device(other_device, other_queue).unwrap();
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
    let [right, wrong] = [&own, &other].map(|gpu| buffer(gpu, &[0; 16384], usage));
    let (right, wrong) = (right.as_entire_buffer_binding(), wrong.as_entire_buffer_binding());
    let matrix = matrix(&own);

    let prepare = |x: &Activations, y| own.prepare_matmul(&matrix, x, None, y).map(|_| ());
    let x = Activations::exact(right.clone(), 1, COLS);
    prepare(&x, &right).unwrap();
    let is_refused = |result: Result<()>| assert!(matches!(result, Err(Error::Device { .. })), "{result:?}");
    is_refused(prepare(&x, &wrong));
    is_refused(prepare(&Activations::exact(wrong.clone(), 1, COLS), &right));
    is_refused(own.prepare_get_rows(&matrix, &wrong, &right, 1).map(|_| ()));
    let buffers = QuantizeBuffers::new(right.clone(), wrong.clone(), right.clone(), right.clone());
    is_refused(own.prepare_quantize(Format::F32, Format::Q8_0, 32, &buffers).map(|_| ()));
    is_refused(own.prepare_dequantize(Format::Q8_0, Format::F32, 32, &wrong, &right).map(|_| ()));
    let int8 = Activations::int8(&other, wrong.clone(), 1, COLS).unwrap();
    let refused = prepare(&int8, &right);
    assert!(matches!(refused, Err(Error::OtherDevice { .. })), "{refused:?}");
    let wgsl = "@group(0) @binding(0) var<uniform> u: vec4<u32>;
        @group(0) @binding(1) var<storage, read_write> x: array<u32>;
        @compute @workgroup_size(1) fn main() { x[0] = u.x; }";
    let kernel = Kernel::new(&own, "store", wgsl, &[Access::ReadWrite]).unwrap();
    let uniform = buffer(&own, &[0; 16], BufferUsages::UNIFORM);
    let uniform = uniform.as_entire_buffer_binding();
    is_refused(kernel.prepare(&uniform, std::slice::from_ref(&wrong), [1, 1, 1]).map(|_| ()));
    kernel.prepare(&uniform, std::slice::from_ref(&right), [1, 1, 1]).unwrap();

    // Another handle of the same device is no other device.
    let again = Gpu::from_device(device, queue).unwrap();
    let int8 = Activations::int8(&again, right.clone(), 1, COLS).unwrap();
    prepare(&int8, &right).unwrap();
}

/// Numbers of another instance's buffers stand for nothing here, or for something else; wgpu panics at the
/// former.
#[test]
fn what_is_of_another_instance_is_no_panic() {
    let Some(gpu) = gpu() else { return };
    let name = gpu.device().adapter_info().name;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let adapter = adapters.into_iter().find(|adapter| adapter.get_info().name == name).unwrap();
    let (device, _queue) =
        pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    let create = || {
        let (label, size, mapped_at_creation) = (None, 64, false);
        let usage = BufferUsages::STORAGE;
        device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation })
    };
    // The number of a place that was used so often is none of the shared instance's.
    for _ in 0..100_000 {
        drop(create());
    }
    let foreign = create();
    let matrix = matrix(gpu);
    let numbers = foreign.as_entire_buffer_binding();
    let result = buffer(gpu, &[0; 4 * COLS], BufferUsages::STORAGE);
    let prepared = gpu.prepare_get_rows(&matrix, &numbers, &result.as_entire_buffer_binding(), 1);
    assert!(matches!(prepared, Err(Error::Device { .. })));
}

#[test]
fn pipelines_are_kept_in_a_folder_or_by_the_app() {
    let Some((adapter, device, queue)) = described() else { return };
    if !device.features().contains(Features::PIPELINE_CACHE) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let options = GpuOptions::new().cache_folder(&path);
    let gpu = Gpu::from_device_with(device.clone(), queue.clone(), options).unwrap();
    gpu.store_pipelines();
    let files = crate::support::files_in(&path);
    assert_eq!(files, [wgpu::util::pipeline_cache_key(&adapter.get_info()).unwrap()]);

    let cache = own_cache(&device);
    let options = GpuOptions::new().pipeline_cache(cache.clone());
    let gpu = Gpu::from_device_with(device, queue, options).unwrap();
    // That is the app's to store.
    gpu.store_pipelines();
    assert_eq!(crate::support::files_in(&path), files);
    // What it holds is the driver's affair, and of lavapipe nothing. But pipelines are compiled with it: one
    // of another device is refused, and is no panic.
    let (other, other_queue) = {
        let descriptor = Gpu::device_descriptor(&adapter);
        pollster::block_on(adapter.request_device(&descriptor)).unwrap()
    };
    let options = GpuOptions::new().pipeline_cache(cache);
    let refused = Gpu::from_device_with(other, other_queue, options);
    assert!(matches!(refused, Err(Error::Device { .. })), "{refused:?}");
}

#[expect(unsafe_code, reason = "wgpu cannot tell whether bytes are a cache that it wrote")]
fn own_cache(device: &wgpu::Device) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor { label: None, data: None, fallback: true };
    // SAFETY: there are no bytes.
    unsafe { device.create_pipeline_cache(&descriptor) }
}
