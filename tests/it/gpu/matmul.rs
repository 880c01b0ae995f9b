//! Products against sums in f64 of the reference's weights, for every format. `product.rs` has the error
//! bounds.

mod every_variant;
mod glu;
mod matrix_units;
mod refused;
mod split_k;

use super::product::{Case, Errors, How, X, cols, precisions};
use super::{device_of_small_buffers, formats, gpu, in_turn};
use qmill::gpu::{Matrix, Precision, Variant};
use qmill::{FORMATS, Format, Gpu, cpu};

/// The variant for a shape: each format and shape gets another of all variants of a precision, because each
/// is a pipeline to compile.
fn variant(gpu: &Gpu, case: &Case, precision: Precision, batch: usize, turn: usize) -> Variant {
    let mut variants = Variant::all(gpu, case.format, batch);
    variants.retain(|variant| variant.precision() == precision);
    variants[turn % variants.len()]
}

/// Formats that are tested with weight textures too, whose pipelines take llvmpipe longer to compile.
const IN_TEXTURES: [Format; 6] =
    [Format::F16, Format::Q4_0, Format::Q8_0, Format::Q4_K, Format::Q6_K, Format::IQ2_S];

#[test]
fn matmul_errors_are_within_their_bounds() {
    let Some(gpu) = gpu() else { return };
    let (mut faults, mut worst) = (Vec::new(), 0f64);
    for (f, format) in formats().into_iter().enumerate() {
        // Rows, columns in blocks, and vectors: one, odd, and more than lanes share evenly. All numbers of
        // vectors from 2 to 9 occur.
        let shapes =
            [(1, 1, 1), (33, 3, 2 + f % 8), (16, 2, 33), (1, 5, 2 + (f + 3) % 8), (33, 9, 1), (16, 1, 16)];
        for (s, (rows, blocks, batch)) in shapes.into_iter().enumerate() {
            let cols = cols(format, blocks);
            let case = Case::in_turn(f + s, format, rows, cols);
            for &precision in precisions(format) {
                let variant = variant(gpu, &case, precision, batch, f + s);
                // Both precisions of these formats, in buffers and in textures.
                let turn = s / 2 + usize::from(precision == Precision::Int8);
                let gpu = &in_turn(gpu, if IN_TEXTURES.contains(&format) { turn } else { 0 });
                match case.check(gpu, How { has_bias: s == 1, ..How::of(variant) }, batch) {
                    Ok(errors) => worst = worst.max(errors.of_bound),
                    Err(fault) => {
                        faults.push(format!("{format} {variant}, {rows} x {cols}, batch {batch}: {fault}"));
                    }
                }
            }
        }
    }
    println!("the largest error is {worst:.3} of its bound");
    assert!(faults.is_empty(), "{} of these are wrong:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn f16_vectors_are_multiplied_as_they_are() {
    let Some(gpu) = gpu() else { return };
    // Rows that end within a vec4, and an odd number of f16 in all.
    let shapes =
        [(Format::F32, 3, 33), (Format::F16, 33, 21), (Format::BF16, 16, 64), (Format::Q4_0, 33, 96)];
    let shapes = shapes.into_iter().chain([(Format::Q6_K, 17, 512), (Format::IQ2_S, 5, 256)]);
    for (turn, (format, rows, cols)) in shapes.enumerate() {
        let case = Case::gaussian(format, rows, cols);
        for batch in [1, 3, 9] {
            for &precision in precisions(format) {
                let variant = variant(gpu, &case, precision, batch, 5 * turn + batch);
                let how = How { in_f16: true, ..How::of(variant) };
                let result = case.check(&in_turn(gpu, turn + batch), how, batch);
                assert!(result.is_ok(), "{format} {variant}, {rows} x {cols}, batch {batch}: {result:?}");
            }
        }
    }
}

#[test]
fn matmul_errors_of_long_rows_are_small() {
    let Some(gpu) = gpu() else { return };
    for format in formats() {
        // 4352 columns, or 4351.
        let blocks = if format.is_float() { 136 } else { 4352usize.div_ceil(format.info().block_weights) };
        let case = Case::gaussian(format, 64, cols(format, blocks));
        for &precision in precisions(format) {
            let errors = case.check(gpu, How::chosen(precision, X::Gaussian(1.0)), 1);
            let Errors { of_sizes, nmse, .. } =
                errors.unwrap_or_else(|fault| panic!("{format} {precision:?}: {fault}"));
            let most = if precision == Precision::Exact { 1e-6 } else { 1e-3 };
            assert!(
                of_sizes <= most,
                "{format} {precision:?}: an error of {of_sizes:e} of the products' sizes"
            );
            assert!(nmse <= 5e-4, "{format} {precision:?}: NMSE {nmse:e}");
        }
    }
}

#[test]
fn matmul_reads_blocks_in_file_layout() {
    let Some(gpu) = gpu() else { return };
    for (f, format) in formats().into_iter().enumerate().filter(|(_, format)| !format.is_float()) {
        // Rows that start within a word and within a vec4.
        let case = Case::random(format, 5, cols(format, 3));
        let variant = variant(gpu, &case, precisions(format)[f % 2], 1, f);
        let result = case.check(gpu, How { as_in_file: true, ..How::of(variant) }, 1);
        assert!(result.is_ok(), "{format} {variant}: {result:?}");
    }
}

#[test]
fn matmul_of_large_activations_stays_finite() {
    let Some(gpu) = gpu() else { return };
    for format in [Format::Q4_K, Format::Q8_0, Format::F16] {
        let case = Case::gaussian(format, 33, 512);
        for &precision in precisions(format) {
            for batch in [1, 9] {
                let result = case.check(gpu, How::chosen(precision, X::Gaussian(1e5)), batch);
                assert!(result.is_ok(), "{format} {precision:?}: {result:?}");
            }
        }
    }
}

#[test]
fn int8_products_of_the_largest_codes_do_not_overflow() {
    let Some(gpu) = gpu() else { return };
    for info in FORMATS.iter().filter(|info| info.can_quantize() && !info.format.is_float()) {
        let case = Case::of_largest_codes(info.format, 33, 512);
        // Other kernels add in whole words.
        let variants = Variant::all(gpu, info.format, 3);
        let variant =
            variants.into_iter().find(|variant| variant.to_string().starts_with("int8.thread_per_row.rows4"));
        let result = case.check(gpu, How { x: X::Ends, ..How::of(variant.unwrap()) }, 3);
        assert!(result.is_ok(), "{}: {result:?}", info.name);
    }
}

#[test]
fn matmul_of_slices_is_as_exact_as_the_reference() {
    let Some(gpu) = gpu() else { return };
    let (rows, cols, batch) = (33, 512, 9);
    let case = Case::gaussian(Format::Q4_K, rows, cols);
    let matrix = case.matrix(gpu);
    let x = crate::support::gaussian(7, batch * cols);
    let (mut found, mut expected) = (vec![0.0; batch * rows], vec![0.0; batch * rows]);
    cpu::matmul(case.format, rows, cols, &case.bytes, &x, &mut expected).unwrap();
    // The reference rounds once.
    case.judge((Precision::Exact, 0, 0.0), (X::Gaussian(1.0), &x), None, &expected).unwrap();
    for precision in [Precision::Exact, Precision::Int8] {
        gpu.matmul(&matrix, precision, &x, &mut found).unwrap();
        case.judge((precision, cols, 0.0), (X::Gaussian(1.0), &x), None, &found).unwrap();
    }
}

/// A diagonal matrix shows the quantized activations.
#[test]
fn int8_activations_equal_their_reference() {
    let Some(gpu) = gpu() else { return };
    let cols = 512;
    let one: Vec<f32> = (0..cols * cols).map(|i| if i % (cols + 1) == 0 { 127.0 } else { 0.0 }).collect();
    let matrix =
        Matrix::new(gpu, Format::Q8_0, cols, cols, &crate::support::quantized(Format::Q8_0, &one)).unwrap();
    let mut x = super::weights::sample("heavy tails", cols);
    x[..32].fill(0.0);
    x[32..64].fill(1e-38);
    x[64..96].copy_from_slice(&super::weights::sample("ties", 32));
    x[96] = 1e36;
    let (mut found, mut reference) = (vec![0.0; cols], x.clone());
    gpu.matmul(&matrix, Precision::Int8, &x, &mut found).unwrap();
    cpu::round_activations(&mut reference).unwrap();
    let blocks = x.chunks(32).zip(found.chunks(32)).zip(reference.chunks(32));
    for (i, ((x, found), reference)) in blocks.enumerate() {
        let step = x.iter().fold(0.0, |largest: f32, x| largest.max(x.abs())) / 127.0;
        for ((&x, &found), &reference) in x.iter().zip(found).zip(reference) {
            // A tie may round to either neighbour.
            let is_tie = ((x / step).fract().abs() - 0.5).abs() < 1e-4;
            let allowed = reference.abs() * 1e-6 + if is_tie { 1.001 * step } else { 0.0 };
            assert!(
                (found / 127.0 - reference).abs() <= allowed,
                "block {i}: {x:e} is {found:e}, not 127 times {reference:e}"
            );
        }
    }
    assert!(cpu::round_activations(&mut [1.0; 33]).is_err());
}

#[test]
fn matmul_reads_several_shards() {
    // Of 113 of the rows below.
    let Some(gpu) = device_of_small_buffers() else { return };
    let case = Case::gaussian(Format::Q4_K, 257, 512);
    for variant in Variant::all(&gpu, case.format, 3) {
        case.check(&gpu, How { has_bias: true, ..How::of(variant) }, 3).unwrap();
    }
}
