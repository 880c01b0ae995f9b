//! Multiplying by quantized weights, for every format, against f64 sums of the twin; `product.rs` says how near is near enough.

use super::parity::{binding, buffer, poisoned, read, submit, within};
use super::product::{Case, Errors, How, X, cols, precisions};
use super::{adapter, another_device, formats, gpu, in_turn};
use qmill::gpu::{Activations, DeviceChoice, Matrix, Precision, Variant};
use qmill::wgpu::{self, BufferBinding, BufferUsages};
use qmill::{Error, FORMATS, Format, Gpu, cpu};
use std::collections::BTreeMap;
use std::io::Write;

/// What a shape is multiplied in: one of all variants of a precision, another for each format and shape, because each is a pipeline to compile.
fn variant(gpu: &Gpu, case: &Case, precision: Precision, batch: usize, turn: usize) -> Variant {
    let mut variants = Variant::all(gpu, case.format, batch);
    variants.retain(|variant| variant.precision() == precision);
    variants[turn % variants.len()]
}

/// Formats whose weights are in textures at times; a pipeline of these takes llvmpipe longer to compile.
const IN_TEXTURES: [Format; 6] =
    [Format::F16, Format::Q4_0, Format::Q8_0, Format::Q4_K, Format::Q6_K, Format::IQ2_S];

#[test]
fn products_are_as_exact_as_their_sums_allow() {
    let Some(gpu) = gpu() else { return };
    let (mut faults, mut worst) = (Vec::new(), 0f64);
    for (f, format) in formats().into_iter().enumerate() {
        // Rows, columns in blocks, and vectors: one, awkward, and more than lanes share evenly. Each number of vectors from 2 to 9 comes up.
        let shapes =
            [(1, 1, 1), (33, 3, 2 + f % 8), (16, 2, 33), (1, 5, 2 + (f + 3) % 8), (33, 9, 1), (16, 1, 16)];
        for (s, (rows, blocks, batch)) in shapes.into_iter().enumerate() {
            let cols = cols(format, blocks);
            let case = Case::in_turn(f + s, format, rows, cols);
            for &precision in precisions(format) {
                let variant = variant(gpu, &case, precision, batch, f + s);
                // Of formats that fetch in different ways, both precisions in both places.
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
fn vectors_in_f16_are_multiplied_as_they_are() {
    let Some(gpu) = gpu() else { return };
    // Rows that end within a chunk, and an odd number of f16 in all.
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
fn long_products_are_nearly_right() {
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
fn blocks_may_lie_as_in_a_file() {
    let Some(gpu) = gpu() else { return };
    for (f, format) in formats().into_iter().enumerate().filter(|(_, format)| !format.is_float()) {
        // Rows that begin within a word and within a chunk, more than one of them.
        let case = Case::random(format, 5, cols(format, 3));
        let variant = variant(gpu, &case, precisions(format)[f % 2], 1, f);
        let result = case.check(gpu, How { as_in_file: true, ..How::of(variant) }, 1);
        assert!(result.is_ok(), "{format} {variant}: {result:?}");
    }
}

/// The variant that multiplies by matrix units, of a device that has them.
fn cooperative(gpu: &Gpu, case: &Case, batch: usize) -> Option<Variant> {
    let all = Variant::all(gpu, case.format, batch);
    let found = all.into_iter().find(|variant| variant.to_string() == "int8.cooperative");
    if found.is_none() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: products by matrix units: the adapter has none");
    }
    found
}

#[test]
fn matrix_units_multiply_every_format() {
    let Some(gpu) = gpu() else { return };
    for (f, format) in formats().into_iter().enumerate().filter(|(_, format)| !format.is_float()) {
        let shapes = [(33, 1, 9), (97, 5, 33), (1, 3, 16), (64, 2, 64)];
        for (s, (rows, blocks, batch)) in shapes.into_iter().enumerate() {
            let cols = cols(format, blocks);
            let case = Case::in_turn(f + s, format, rows, cols);
            let Some(mut variant) = cooperative(gpu, &case, batch) else { return };
            if (f + s) % 4 == 1 {
                variant = variant.as_on_metal();
            }
            let how = How { has_bias: s == 1, ..How::of(variant) };
            let result =
                case.check(&in_turn(gpu, if IN_TEXTURES.contains(&format) { s } else { 0 }), how, batch);
            assert!(result.is_ok(), "{format} {variant}, {rows} x {cols}, batch {batch}: {result:?}");
        }
        // f16 adds little to what eight bits lose of each vector, of any magnitude.
        let case = Case::gaussian(format, 16, cols(format, 4352usize.div_ceil(format.info().block_weights)));
        let Some(variant) = cooperative(gpu, &case, 9) else { return };
        let tile = Variant::all(gpu, format, 9);
        let tile = tile.into_iter().find(|variant| variant.to_string() == "int8.tile").unwrap();
        for x in [X::Held, X::Gaussian(1.0), X::Gaussian(1e5), X::Gaussian(1e-9)] {
            let of = |variant| case.check(gpu, How { x, ..How::of(variant) }, 9).unwrap();
            let (units, tile) = (of(variant), of(tile));
            assert!(units.of_sizes <= tile.of_sizes + 1e-4, "{format} {x:?}: {units:?}, not {tile:?}");
            assert!(units.nmse <= 5e-4, "{format} {x:?}: {units:?}");
        }
    }
}

/// Rows and vectors of very different magnitudes have powers of two of their own, far beyond what f16 holds.
#[test]
fn matrix_units_take_what_f16_does_not_hold() {
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
    let Some(variant) = cooperative(gpu, &case, batch) else { return };
    for spread in [1e-30, 1e-3, 1e25] {
        let result = case.check(gpu, How { x: X::Gaussian(spread), ..How::of(variant) }, batch);
        assert!(result.is_ok(), "{spread:e}: {result:?}");
    }
    // A device without the features has no such variant, whatever the adapter.
    let Some((device, queue)) = another_device() else { return };
    let gpu = Gpu::from_device(device, queue).unwrap().with_matrix_units(&adapter().unwrap());
    let all = Variant::all(&gpu, case.format, batch);
    assert!(all.iter().all(|variant| !variant.to_string().contains("cooperative")), "{all:?}");
}

#[test]
fn large_activations_stay_finite() {
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
fn the_largest_codes_and_numbers_do_not_overflow() {
    let Some(gpu) = gpu() else { return };
    for info in FORMATS.iter().filter(|info| info.can_quantize() && !info.format.is_float()) {
        let case = Case::of_largest_codes(info.format, 33, 512);
        // Others add up in whole words.
        let variants = Variant::all(gpu, info.format, 3);
        let variant =
            variants.into_iter().find(|variant| variant.to_string().starts_with("int8.thread_per_row.rows4"));
        let result = case.check(gpu, How { x: X::Ends, ..How::of(variant.unwrap()) }, 3);
        assert!(result.is_ok(), "{}: {result:?}", info.name);
    }
}

#[test]
fn slices_are_multiplied_as_by_the_twin() {
    let Some(gpu) = gpu() else { return };
    let (rows, cols, batch) = (33, 512, 9);
    let case = Case::gaussian(Format::Q4_K, rows, cols);
    let matrix = case.matrix(gpu);
    let x = crate::support::gaussian(7, batch * cols);
    let (mut found, mut expected) = (vec![0.0; batch * rows], vec![0.0; batch * rows]);
    cpu::matmul(case.format, rows, cols, &case.bytes, &x, &mut expected).unwrap();
    // The twin rounds once.
    case.judge((Precision::Exact, 0, 0.0), (X::Gaussian(1.0), &x), None, &expected).unwrap();
    for precision in [Precision::Exact, Precision::Int8] {
        gpu.matmul(&matrix, precision, &x, &mut found).unwrap();
        case.judge((precision, cols, 0.0), (X::Gaussian(1.0), &x), None, &found).unwrap();
    }
}

/// A matrix of ones on its diagonal shows what eight bits make of a vector.
#[test]
fn activations_in_eight_bits_are_their_twins() {
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
    let (mut found, mut twin) = (vec![0.0; cols], x.clone());
    gpu.matmul(&matrix, Precision::Int8, &x, &mut found).unwrap();
    cpu::round_activations(&mut twin).unwrap();
    let blocks = x.chunks(32).zip(found.chunks(32)).zip(twin.chunks(32));
    for (i, ((x, found), twin)) in blocks.enumerate() {
        let step = x.iter().fold(0.0, |largest: f32, x| largest.max(x.abs())) / 127.0;
        for ((&x, &found), &twin) in x.iter().zip(found).zip(twin) {
            // What lies half way may become either neighbour.
            let is_half_way = ((x / step).fract().abs() - 0.5).abs() < 1e-4;
            let allowed = twin.abs() * 1e-6 + if is_half_way { 1.001 * step } else { 0.0 };
            assert!(
                (found / 127.0 - twin).abs() <= allowed,
                "block {i}: {x:e} is {found:e}, not 127 times {twin:e}"
            );
        }
    }
    assert!(cpu::round_activations(&mut [1.0; 33]).is_err());
}

#[test]
fn a_matrix_may_take_several_buffers() {
    let Some(adapter) = adapter() else { return };
    let descriptor = wgpu::DeviceDescriptor {
        // 113 of the rows below.
        required_limits: wgpu::Limits { max_storage_buffer_binding_size: 32768, ..wgpu::Limits::default() },
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let gpu = Gpu::from_device(device, queue).unwrap();
    let case = Case::gaussian(Format::Q4_K, 257, 512);
    for variant in Variant::all(&gpu, case.format, 3) {
        case.check(&gpu, How { has_bias: true, ..How::of(variant) }, 3).unwrap();
    }
}

/// Fewer units than spans, columns that do not divide evenly, and rows that end within a chunk.
#[test]
fn columns_in_spans_are_added_up() {
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

/// All of a device leave the sums of their spans in one place, which grows meanwhile.
#[test]
fn products_in_spans_do_not_disturb_each_other() {
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

#[test]
fn what_does_not_fit_is_refused() {
    let Some(gpu) = gpu() else { return };
    let message = |result: qmill::Result<()>| result.unwrap_err().to_string();
    let matrix = Case::gaussian(Format::Q4_0, 4, 32).matrix(gpu);
    let matmul =
        |x: usize, y: usize| message(gpu.matmul(&matrix, Precision::Exact, &vec![0.0; x], &mut vec![0.0; y]));
    assert_eq!(
        matmul(31, 4),
        "the length of x is 31, not 32, the columns of the matrix, or a multiple of it"
    );
    assert_eq!(
        matmul(33, 4),
        "the length of x is 33, not 32, the columns of the matrix, or a multiple of it"
    );
    assert_eq!(matmul(64, 4), "the length of y is 4, not 8");

    let [right, short] = [512, 8].map(|bytes| buffer(gpu, &vec![0; bytes], BufferUsages::STORAGE));
    let copy_only = buffer(gpu, &[0; 512], BufferUsages::empty());
    let at = |buffer, offset| BufferBinding { buffer, offset, size: None };
    let prepare = |x: &Activations, bias: Option<&BufferBinding>, y: &BufferBinding| {
        gpu.prepare_matmul(&matrix, x, bias, y).map(|_| ())
    };
    let exact = |buffer| Activations::exact(at(buffer, 0), 1, 32);
    let (x, y) = (exact(&right), at(&right, 0));
    let none = Activations::exact(at(&right, 0), 0, 32);
    assert_eq!(message(prepare(&none, None, &y)), "the number of vectors is 0, not 1 to 4294967295");
    let other = Activations::exact(at(&right, 0), 1, 64);
    assert_eq!(message(prepare(&other, None, &y)), "the length of a vector is 64, not 32");
    assert_eq!(message(prepare(&exact(&short), None, &y)), "the range for x has 8 bytes, 128 are needed");
    assert_eq!(message(prepare(&x, None, &at(&short, 0))), "the range for y has 8 bytes, 16 are needed");
    let short_bias = message(prepare(&x, Some(&at(&short, 0)), &y));
    assert_eq!(short_bias, "the range for the bias has 8 bytes, 16 are needed");
    let misaligned = prepare(&x, None, &at(&right, 4));
    assert!(matches!(misaligned, Err(Error::Misaligned { name: "y", offset: 4, .. })), "{misaligned:?}");
    let beyond = message(prepare(&x, None, &at(&right, 1 << 20)));
    assert_eq!(beyond, "the range for y has 0 bytes, 16 are needed");
    let usage = message(prepare(&x, None, &at(&copy_only, 0)));
    assert_eq!(usage, "the buffer for y was made for COPY_SRC and COPY_DST, not for STORAGE");

    let int8 = |buffer, batch, cols| Activations::int8(gpu, at(buffer, 0), batch, cols).map(|_| ());
    assert_eq!(message(int8(&right, 0, 32)), "the number of vectors is 0, not 1 to 4294967295");
    assert_eq!(message(int8(&right, 1, 33)), "the number of columns is 33, not a multiple of 32");
    assert_eq!(message(int8(&right, 1, 0)), "the number of columns is 0, not a multiple of 32");
    assert_eq!(message(int8(&short, 1, 32)), "the range for x has 8 bytes, 128 are needed");
    assert!(matches!(int8(&copy_only, 1, 32), Err(Error::Usage { name: "x", .. })));
}

/// The shapes of llama.cpp's test-backend-ops, each in every variant: rows, columns, and vectors.
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

/// The largest error of each format in each kind of variant, for the record: `QMILL_MATMUL_LONG=all cargo test --test it every_variant -- --nocapture | grep '^|'`; with a
/// number for `all`, of rows of so many weights.
#[test]
fn every_variant_in_many_shapes() {
    let Ok(wanted) = std::env::var("QMILL_MATMUL_LONG") else { return };
    if gpu().is_none() {
        return;
    }
    for format in formats() {
        // A device of its own: of one, llvmpipe would keep all the pipelines, a gigabyte for each format.
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
                    let kind = kind.join(".").trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
                    let of = worst.entry(kind).or_default();
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
