//! Every variant in many shapes, which takes hours: only with `QMILL_MATMUL_LONG`.

use crate::gpu::product::{Case, Errors, How, X};
use crate::gpu::{formats, gpu};
use qmill::gpu::{DeviceChoice, Variant};
use qmill::{Format, Gpu};
use std::collections::BTreeMap;

/// The shapes of llama.cpp's test-backend-ops: rows, columns, and vectors.
fn long_shapes(format: Format) -> Vec<(usize, usize, usize)> {
    let mut shapes: Vec<_> = (1..=9).map(|batch| (16, 256, batch)).collect();
    shapes.extend([(16, 4096, 1), (16, 4096, 8), (1, 256, 64), (16, format.info().block_weights.max(32), 5)]);
    shapes.extend([(16, 14336, 1), (16, 14336, 8), (33, 14336, 33)]);
    shapes.extend(match format {
        Format::Q4_K => vec![(1023, 4096, 1), (1023, 4096, 7), (6271, 1024, 2), (4096, 1024, 8)],
        Format::Q5_K => vec![(1023, 4096, 3), (4096, 1024, 2)],
        Format::Q4_0 => vec![(2880, 2880, 32), (576, 576, 512), (1, 8192, 2048)],
        Format::Q8_0 => vec![(6, 5120, 4096), (32, 2112, 509)],
        Format::MXFP4 => vec![(2880, 2880, 32)],
        Format::F32 => vec![(31, 2051, 509), (1, 2048, 127)],
        Format::F16 => vec![(16, 65, 3), (16, 80, 3), (16, 588, 3)],
        _ => Vec::new(),
    });
    shapes
}

/// Prints the largest error of each format and kind of variant, for the record: `QMILL_MATMUL_LONG=all cargo
/// test --test it every_variant -- --nocapture | grep '^|'`. A number in place of `all` selects shapes with
/// that many columns.
#[test]
fn every_variant_in_many_shapes() {
    let Ok(wanted) = std::env::var("QMILL_MATMUL_LONG") else { return };
    if gpu().is_none() {
        return;
    }
    for format in formats() {
        // A separate device for each format: with a single one, llvmpipe would keep all pipelines, a gigabyte
        // for each format.
        let gpu = Gpu::open(&DeviceChoice::Gpu, None).unwrap().with_weights_in_textures(false);
        let mut worst: BTreeMap<String, Errors> = BTreeMap::new();
        for (rows, cols, batch) in long_shapes(format) {
            if wanted != "all" && wanted != cols.to_string() {
                continue;
            }
            let case = Case::gaussian(format, rows, cols);
            for variant in Variant::all(&gpu, format, batch) {
                for x in [X::Held, X::Gaussian(1.0)] {
                    let errors = case.check(&gpu, How { x, ..How::of(variant) }, batch);
                    let errors = errors.unwrap_or_else(|fault| {
                        panic!("{format} {variant} {x:?}, {rows} x {cols}, batch {batch}: {fault}")
                    });
                    let name = variant.to_string();
                    let kind: Vec<_> = name.split('.').take(2).collect();
                    let of = worst.entry(kind.join(".")).or_default();
                    of.of_bound = of.of_bound.max(errors.of_bound);
                    of.of_sizes = of.of_sizes.max(errors.of_sizes);
                }
            }
        }
        for (variant, Errors { of_bound, of_sizes, .. }) in worst {
            println!("| {format} | {variant} | {of_bound:.3} | {of_sizes:.2e} |");
        }
    }
}
