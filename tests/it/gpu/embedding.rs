//! The library on an app's own device.

mod awaited;
mod lost;
mod other_device;

use super::parity::{buffer, read, submit};
use super::{adapter, another_device, gpu};
use crate::support::{gaussian, quantized};
use qmill::gpu::{Activations, DeviceChoice, GpuOptions, Matrix, Precision, Variant};
use qmill::wgpu::{self, BufferUsages, Features};
use qmill::{Device, Error, Format, Gpu};

const FORMAT: Format = Format::Q4_K;
const ROWS: usize = 32;
const COLS: usize = 2048;

/// A device with `Gpu::device_descriptor`, as an app requests it.
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
fn device_descriptor_requests_what_qmill_uses() {
    let Some((adapter, device, queue)) = described() else { return };
    let options = GpuOptions::new().adapter(&adapter);
    let app = Gpu::from_device_with(device.clone(), queue, options).unwrap().with_weights_in_textures(false);
    let own = Gpu::open(&DeviceChoice::Name(adapter.get_info().name), None).unwrap();
    let own = own.with_weights_in_textures(false);
    // The features of qmill's own device. It has a pipeline cache only with a folder for it.
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
    // A device without any feature differs, so that the comparison can fail.
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

#[test]
fn int8_activations_are_quantized_by_products_unless_shared() {
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
                x.quantize().expect("the app quantizes them").record(encoder);
            }
            op.record(encoder);
        });
        bytemuck::pod_collect_to_vec::<u8, f32>(&read(gpu, &y))
    };
    let int8 = || Activations::int8(gpu, x_buffer.as_entire_buffer_binding(), 1, COLS).unwrap();
    let (included, shared) = (int8(), int8().shared());
    assert!(included.quantize().is_none());
    assert_eq!(product(&included, false), expected);
    // Unfilled blocks are zeros.
    assert_eq!(product(&shared, false), [0.0; ROWS]);
    assert_eq!(product(&shared, true), expected);
    assert_eq!(product(&shared, false), expected);
}

#[test]
fn pipeline_cache_is_kept_in_a_folder_or_by_the_app() {
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
    // The app stores its own cache.
    gpu.store_pipelines();
    assert_eq!(crate::support::files_in(&path), files);
    // Its contents depend on the driver; lavapipe's are empty. That pipelines are compiled with it shows in
    // that another device's cache is refused, without a panic.
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
