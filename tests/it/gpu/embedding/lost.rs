//! Operations on a device that is lost.

use super::awaited::awaited;
use super::{COLS, FORMAT, ROWS, matrix};
use crate::gpu::{another_device, gpu};
use crate::support::{gaussian, quantized};
use qmill::gpu::{Access, Activations, Converter, DeviceChoice, Kernel, Matrix, Precision, QuantizeBuffers};
use qmill::wgpu::{self, BufferUsages};
use qmill::{Error, Format, Gpu, Result};
use std::pin::pin;
use std::task::{Context, Waker};

/// Each operation on a device that was destroyed just before, with buffers and a matrix from before.
#[test]
fn a_destroyed_device_is_device_lost_in_every_operation() {
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
        // An app's device has no handler of qmill's; qmill's own device has one.
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
fn a_device_destroyed_while_tasks_wait_is_device_lost() {
    let Some((device, queue)) = another_device() else { return };
    let gpu = Gpu::from_device(device, queue).unwrap();
    let matrix = matrix(&gpu);
    let x = gaussian(7, COLS);
    let mut y = vec![0.0; ROWS];
    // Compiles the kernels.
    gpu.matmul(&matrix, Precision::Exact, &x, &mut y).unwrap();
    let mut future = pin!(gpu.matmul_async(&matrix, Precision::Exact, &x, &mut y));
    let early = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    gpu.device().destroy();
    // Submitted work may still complete, or the loss is reported.
    match if early.is_pending() { awaited(future).0 } else { Ok(()) } {
        Ok(()) | Err(Error::DeviceLost { .. }) => {}
        Err(other) => panic!("{other}"),
    }
    let after = awaited(gpu.matmul_async(&matrix, Precision::Exact, &x, &mut [0.0; ROWS])).0;
    assert!(matches!(after, Err(Error::DeviceLost { .. })), "{after:?}");
}
