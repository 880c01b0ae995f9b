//! Products by matrix units.

use super::IN_TEXTURES;
use crate::gpu::product::{Case, How, X, cols};
use crate::gpu::{adapter, another_device, formats, gpu, in_turn};
use qmill::gpu::Variant;
use qmill::{Format, Gpu, wgpu};
use std::io::Write;

/// The variants that use matrix units; none if the device has none.
fn cooperative(gpu: &Gpu, case: &Case, batch: usize) -> Vec<Variant> {
    let mut all = Variant::all(gpu, case.format, batch);
    all.retain(|variant| {
        let name = variant.to_string();
        name.contains("cooperative") && !name.contains("split_k")
    });
    if all.is_empty() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: products by matrix units: the adapter has none");
    }
    all
}

#[test]
fn matrix_units_multiply_every_format() {
    let Some(gpu) = gpu() else { return };
    for (f, format) in formats().into_iter().enumerate().filter(|(_, format)| !format.is_float()) {
        let shapes = [(33, 1, 9), (97, 5, 33), (1, 3, 16), (64, 2, 64)];
        for (s, (rows, blocks, batch)) in shapes.into_iter().enumerate() {
            let cols = cols(format, blocks);
            let case = Case::in_turn(f + s, format, rows, cols);
            let gpu = in_turn(gpu, if IN_TEXTURES.contains(&format) { s } else { 0 });
            let gpu = if (f + s) % 4 == 1 { gpu.with_scalar_loads() } else { gpu };
            let variants = cooperative(&gpu, &case, batch);
            if variants.is_empty() {
                return;
            }
            for variant in variants {
                let how = How { has_bias: s == 1, ..How::of(variant) };
                let result = case.check(&gpu, how, batch);
                assert!(result.is_ok(), "{format} {variant}, {rows} x {cols}, batch {batch}: {result:?}");
            }
        }
        // f16 adds little to the error of int8, for vectors of any magnitude.
        let case = Case::gaussian(format, 16, cols(format, 4352usize.div_ceil(format.info().block_weights)));
        let tile = Variant::all(gpu, format, 9);
        let tile = tile.into_iter().find(|variant| variant.to_string() == "int8.tile").unwrap();
        for variant in cooperative(gpu, &case, 9) {
            for x in [X::Held, X::Gaussian(1.0), X::Gaussian(1e5), X::Gaussian(1e-9)] {
                let of = |variant| case.check(gpu, How { x, ..How::of(variant) }, 9).unwrap();
                let (units, tile) = (of(variant), of(tile));
                assert!(
                    units.of_sizes <= tile.of_sizes + 1e-4,
                    "{format} {variant} {x:?}: {units:?}, not {tile:?}"
                );
                assert!(units.nmse <= 5e-4, "{format} {variant} {x:?}: {units:?}");
            }
        }
    }
}

/// Rows and vectors of very different magnitudes are scaled by powers of two of their own, far beyond the
/// range of f16.
#[test]
fn matrix_units_scale_magnitudes_beyond_f16() {
    let Some(gpu) = gpu() else { return };
    let (rows, cols, batch) = (40, 256, 17);
    let mut weights = crate::support::gaussian(3, rows * cols);
    // The scale of a block is f16: weights are at most 127 times 65504.
    for (row, weights) in weights.chunks_mut(cols).enumerate() {
        for w in weights {
            *w *= f32::powi(2.0, row as i32 % 30 - 8);
        }
    }
    let case = Case::of(Format::Q8_0, rows, cols, crate::support::quantized(Format::Q8_0, &weights));
    assert!(
        case.weights.iter().any(|w| *w > 65504.0)
            && case.weights.chunks(cols).all(|row| row.iter().any(|w| *w != 0.0))
    );
    for variant in cooperative(gpu, &case, batch) {
        for spread in [1e-30, 1e-3, 1e25] {
            let result = case.check(gpu, How { x: X::Gaussian(spread), ..How::of(variant) }, batch);
            assert!(result.is_ok(), "{variant} {spread:e}: {result:?}");
        }
    }
    // A device without the features has no such variant, whatever its adapter.
    let Some((device, queue)) = another_device() else { return };
    let gpu = Gpu::from_device(device, queue).unwrap().with_matrix_units(&adapter().unwrap());
    let all = Variant::all(&gpu, case.format, batch);
    assert!(all.iter().all(|variant| !variant.to_string().contains("cooperative")), "{all:?}");
}

/// Weights are decoded a range of rows at a time. Here a binding holds 64 decoded rows, and 113 as they are.
#[test]
fn matrix_units_multiply_ranges_of_decoded_rows() {
    let Some(adapter) = adapter() else { return };
    let descriptor = Gpu::device_descriptor(&adapter);
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: wgpu::Limits {
            max_storage_buffer_binding_size: 32768,
            ..descriptor.required_limits.clone()
        },
        ..descriptor
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let gpu = Gpu::from_device(device, queue).unwrap().with_matrix_units(&adapter);
    let case = Case::gaussian(Format::Q4_K, 257, 256);
    for variant in cooperative(&gpu, &case, 9) {
        case.check(&gpu, How { has_bias: true, ..How::of(variant) }, 9).unwrap();
    }
}
