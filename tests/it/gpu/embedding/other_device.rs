//! Resources of another device or another instance of wgpu.

use super::{COLS, matrix};
use crate::gpu::parity::buffer;
use crate::gpu::{another_device, gpu};
use qmill::gpu::{Access, Activations, Kernel, QuantizeBuffers};
use qmill::wgpu::{self, BufferUsages};
use qmill::{Error, Format, Gpu, Result};

#[test]
fn resources_of_another_device_are_refused() {
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

    // Another handle of the same device works.
    let again = Gpu::from_device(device, queue).unwrap();
    let int8 = Activations::int8(&again, right.clone(), 1, COLS).unwrap();
    prepare(&int8, &right).unwrap();
}

/// The number of another instance's buffer is unknown here, at which wgpu panics, or that of another buffer.
#[test]
fn buffers_of_another_wgpu_instance_do_not_panic() {
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
    // Numbers that were reused this often do not exist in the shared instance.
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
