//! Products whose columns are split into parts.

use crate::gpu::gpu;
use crate::gpu::parity::{binding, buffer, poisoned, read, submit, within};
use crate::gpu::product::{Case, How, X};
use qmill::Format;
use qmill::gpu::{Activations, Precision, Variant};
use qmill::wgpu::{self, BufferUsages};

/// Fewer units than parts, columns that do not divide evenly, and rows that end within a vec4.
#[test]
fn split_k_sums_are_within_their_bounds() {
    let Some(gpu) = gpu() else { return };
    let shapes = [
        (Format::Q4_0, 33, 32, 1),
        (Format::Q6_K, 64, 5 * 256, 1),
        (Format::Q4_K, 65, 3 * 256, 9),
        (Format::F32, 3, 3, 1),
        (Format::BF16, 66, 301, 33),
    ];
    for (format, rows, cols, batch) in shapes {
        let case = Case::gaussian(format, rows, cols);
        let split = |variant: &Variant| variant.to_string().contains("split");
        let variants: Vec<_> = Variant::all(gpu, format, batch).into_iter().filter(split).collect();
        assert!(!variants.is_empty());
        for (i, variant) in variants.into_iter().enumerate() {
            let result = case.check(gpu, How { has_bias: i % 2 == 0, ..How::of(variant) }, batch);
            assert!(result.is_ok(), "{format} {variant}, {rows} x {cols}, batch {batch}: {result:?}");
        }
    }
}

/// All products of a device share scratch memory for the sums of their parts, which grows meanwhile.
#[test]
fn split_k_products_do_not_disturb_each_other() {
    let Some(gpu) = gpu() else { return };
    let cases =
        [(5, 256), (700, 512), (33, 1024)].map(|(rows, cols)| Case::gaussian(Format::Q4_0, rows, cols));
    let prepared = cases.each_ref().map(|case| {
        let x = crate::support::gaussian(7, case.cols);
        let x_buffer = buffer(gpu, bytemuck::cast_slice(&x), BufferUsages::STORAGE);
        let y = poisoned(gpu, 4 * case.rows as u64);
        let variants = Variant::all(gpu, case.format, 1);
        let variant =
            variants.into_iter().find(|variant| variant.to_string() == "exact.thread_per_row.rows4.split_k4");
        let activations = Activations::exact(x_buffer.as_entire_buffer_binding(), 1, case.cols);
        let op = gpu.prepare_matmul_as(variant.unwrap(), &case.matrix(gpu), &activations, None, &binding(&y));
        (op.unwrap(), x, y)
    });
    submit(gpu, |encoder| {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for i in [0, 1, 2, 1, 0] {
            prepared[i].0.record_in(&mut pass);
        }
    });
    for (case, (_, x, y)) in cases.iter().zip(&prepared) {
        let found = read(gpu, y);
        let y: Vec<f32> = bytemuck::pod_collect_to_vec(within(&found, 4 * case.rows as u64).unwrap());
        case.judge((Precision::Exact, case.cols + 4, 0.0), (X::Gaussian(1.0), x), None, &y).unwrap();
    }
}
