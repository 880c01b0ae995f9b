//! Memory of matrices and operations is released.

use super::{from, holding};
use crate::gpu::another_device;
use crate::gpu::parity::submit;
use crate::gpu::product::Case;
use qmill::gpu::{Activations, Matrix};
use qmill::wgpu;
use qmill::{Format, Gpu};

/// The bytes and the number of a device's allocations, if it reports them.
fn allocated(gpu: &Gpu) -> Option<(u64, usize)> {
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let report = gpu.device().generate_allocator_report()?;
    Some((report.total_allocated_bytes, report.allocations.len()))
}

#[test]
fn matrices_and_operations_release_their_memory() {
    let Some((device, queue)) = another_device() else { return };
    let gpu = Gpu::from_device(device, queue).unwrap();
    let case = Case::gaussian(Format::Q8_0, 512, 512);
    let floats: &[u8] = bytemuck::cast_slice(&case.weights);
    let work = |gpu: &Gpu| {
        let floats_there = holding(gpu, floats, 0);
        let matrices = [
            case.matrix(gpu),
            Matrix::quantized(gpu, Format::F32, 512, 512, floats, Format::Q4_K).unwrap(),
            Matrix::quantized_from_buffer(gpu, Format::F32, 512, 512, &from(&floats_there, 0), Format::Q6_K)
                .unwrap(),
        ];
        let (x, y) = (holding(gpu, &[0; 2048], 0), holding(gpu, &[0; 2048], 0));
        let vectors = Activations::int8(gpu, from(&x, 0), 1, 512).unwrap();
        let products =
            matrices.each_ref().map(|m| gpu.prepare_matmul(m, &vectors, None, &from(&y, 0)).unwrap());
        submit(gpu, |encoder| {
            for product in &products {
                product.record(encoder);
            }
        });
        (matrices, products)
    };
    for in_textures in [false, true] {
        let gpu = gpu.with_weights_in_textures(in_textures);
        // Scratch memory and codebooks stay.
        drop(work(&gpu));
        let Some(before) = allocated(&gpu) else { return };
        for _ in 0..3 {
            let (matrices, products) = work(&gpu);
            let held = allocated(&gpu).unwrap();
            let bytes = matrices.iter().map(Matrix::device_bytes).sum::<u64>();
            assert!(held.0 >= before.0 + bytes, "{held:?} after {before:?}, for {bytes}");
            drop(matrices);
            // Operations keep the matrices alive.
            let kept = allocated(&gpu).unwrap();
            assert!(kept.0 >= before.0 + bytes, "{kept:?} after {before:?}, for {bytes}");
            drop(products);
            assert_eq!(allocated(&gpu), Some(before));
        }
    }
}
