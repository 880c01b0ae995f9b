//! The `async` forms of what creates and reads matrices.

use super::{from, holding};
use crate::gpu::gpu;
use crate::gpu::product::Case;
use crate::support::quantized;
use qmill::gpu::{Matrix, TensorOptions};
use qmill::wgpu;
use qmill::{Format, Gpu};

#[test]
fn async_matrix_functions_equal_the_blocking_ones() {
    let Some(gpu) = gpu() else { return };
    let case = Case::gaussian(Format::Q4_K, 5, 256);
    let (rows, cols) = (case.rows, case.cols);
    let on_device = holding(gpu, &case.bytes, 0);
    let floats: &[u8] = bytemuck::cast_slice(&case.weights);
    let floats_there = holding(gpu, floats, 0);
    let again = quantized(Format::Q4_0, &case.weights);
    pollster::block_on(async {
        let new = Matrix::new_async(gpu, case.format, rows, cols, &case.bytes).await.unwrap();
        assert!(new.read_async().await.unwrap() == case.bytes);
        let copied =
            Matrix::from_buffer_async(gpu, case.format, rows, cols, &from(&on_device, 0)).await.unwrap();
        assert!(copied.read_async().await.unwrap() == case.bytes);
        let host = Matrix::quantized_async(gpu, Format::F32, rows, cols, floats, Format::Q4_0).await.unwrap();
        assert!(host.read_async().await.unwrap() == again);
        let range = from(&floats_there, 0);
        let device = Matrix::quantized_from_buffer_async(gpu, Format::F32, rows, cols, &range, Format::Q4_0);
        assert!(device.await.unwrap().read_async().await.unwrap() == again);
    });
}

/// Futures are `Send`: a task may move between threads.
#[test]
fn async_matrix_functions_are_send() {
    fn check<T: Send>(_: T) {}
    // Compiled, not run.
    let unpolled = |gpu: &Gpu, buffer: &wgpu::Buffer, model: &qmill::gguf::Model, matrix: &Matrix| {
        check(Matrix::new_async(gpu, Format::F32, 1, 1, &[0; 4]));
        check(Matrix::from_weights_async(gpu, 1, 1, &[1.0], Format::F16));
        check(Matrix::quantized_from_buffer_async(gpu, Format::F32, 1, 1, &from(buffer, 0), Format::F16));
        check(Matrix::from_gguf_async(gpu, model, "x", &TensorOptions::new()));
        check(matrix.read_async());
    };
    assert_eq!(size_of_val(&unpolled), 0);
}
