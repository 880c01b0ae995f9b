//! Ranges that do not fit, and matrices of another device.

use super::{fault, from, holding};
use crate::gpu::parity::buffer;
use crate::gpu::product::Case;
use crate::gpu::{another_device, gpu};
use qmill::gpu::{Activations, Matrix, Precision};
use qmill::wgpu::BufferUsages;
use qmill::{Format, Gpu};

#[test]
fn ranges_that_do_not_fit_are_refused() {
    let Some(gpu) = gpu() else { return };
    let on_device = holding(gpu, &[0; 36], 0);
    let new = |format, rows, cols, offset| {
        fault(Matrix::from_buffer(gpu, format, rows, cols, &from(&on_device, offset)).map(|_| ()))
    };
    assert_eq!(new(Format::Q4_0, 0, 32, 0), "the number of rows is 0, not 1 to 4294967295");
    assert_eq!(new(Format::Q4_0, 1, 0, 0), "the number of columns is 0, not 1 to 4294967295");
    assert!(new(Format::Q4_0, 1, 33, 0).starts_with("the matrix: rows of 33 weights are no whole number"));
    assert_eq!(new(Format::Q4_0, 3, 32, 0), "the range for the weights has 36 bytes, 56 are needed");
    assert_eq!(new(Format::Q4_0, 2, 32, 4), "the range for the weights has 32 bytes, 36 are needed");
    let upload = buffer(gpu, &[0; 36], BufferUsages::empty());
    let unusable = fault(Matrix::from_buffer(gpu, Format::Q4_0, 2, 32, &from(&upload, 0)).map(|_| ()));
    assert!(unusable.starts_with("the buffer for the weights was made for COPY_"), "{unusable}");
    let no_encoder = Matrix::quantized(gpu, Format::F32, 1, 256, &[0; 1024], Format::IQ2_S).map(|_| ());
    assert_eq!(fault(no_encoder), "IQ2_S is not encoded by qmill yet");
}

#[test]
fn a_matrix_of_another_device_is_refused() {
    let (Some(gpu), Some((device, queue))) = (gpu(), another_device()) else { return };
    let other = Gpu::from_device(device.clone(), queue.clone()).unwrap();
    let case = Case::gaussian(Format::Q8_0, 4, 64);
    let matrix = case.matrix(&other);
    let expected = format!("the matrix is of another device than {}, which is to use it", gpu.name());
    let (x, mut y) = (vec![0.0; 64], vec![0.0; 4]);
    assert_eq!(fault(gpu.matmul(&matrix, Precision::Exact, &x, &mut y)), expected);
    assert_eq!(fault(gpu.matmul(&matrix, Precision::Int8, &x, &mut y)), expected);
    assert_eq!(fault(gpu.get_rows(&matrix, &[1], &mut vec![0.0; 64])), expected);
    let (x, y) = (holding(gpu, &[0; 256], 0), holding(gpu, &[0; 16], 0));
    let vectors = Activations::exact(from(&x, 0), 1, 64);
    assert_eq!(fault(gpu.prepare_matmul(&matrix, &vectors, None, &from(&y, 0))), expected);
    let experts = gpu.prepare_matmul_indexed(&matrix, 2, &vectors, &from(&x, 0), 1, &from(&y, 0));
    assert_eq!(fault(experts), expected);
    assert_eq!(fault(gpu.prepare_get_rows(&matrix, &from(&x, 0), &from(&x, 0), 1)), expected);
    // Another handle of the same device works.
    let mut rows = vec![0.0; 64];
    Gpu::from_device(device, queue).unwrap().get_rows(&matrix, &[3], &mut rows).unwrap();
    assert_eq!(rows, case.weights[3 * 64..]);
}
