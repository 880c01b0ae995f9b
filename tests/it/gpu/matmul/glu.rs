//! The product of gates and ups whose sums go through the activation, against sums in f64.

use crate::gpu::parity::{binding, buffer, poisoned, read, submit, within};
use crate::gpu::planting;
use crate::gpu::product::{Case, cols, precisions};
use crate::gpu::{formats, gpu};
use qmill::gpu::{Activations, Precision};
use qmill::wgpu::{BufferUsages, Features};
use qmill::{Format, Gpu, cpu};
use std::sync::atomic::Ordering::Relaxed;

/// Numbers that int8 represents exactly, so small that activations do not saturate.
fn vector(cols: usize) -> Vec<f32> {
    let held = |(i, x): (usize, &f32)| {
        let code = if i % 32 == 5 { 127.0 } else { (1500.0 * x).round().clamp(-127.0, 127.0) };
        code * f32::powi(2.0, -12 - (i / 32 % 3) as i32)
    };
    crate::support::gaussian(7, cols).iter().enumerate().map(held).collect()
}

fn activated(x: f64, is_gelu: bool) -> f64 {
    if is_gelu {
        0.5 * x * (1.0 + (0.797_884_6 * x * (1.0 + 0.044_715 * x * x)).tanh())
    } else {
        x / (1.0 + (-x).exp())
    }
}

/// Compares int8 blocks, in their groups of eight, with the reference's rounding of these numbers.
fn check_int8(numbers: &[f32], blocks: &[u8]) -> Result<(), String> {
    let mut rounded = numbers.to_vec();
    cpu::round_activations(&mut rounded).unwrap();
    for (i, (numbers, rounded)) in numbers.chunks(32).zip(rounded.chunks(32)).enumerate() {
        let at = i + 2 * (i - i % 8);
        let words = |at: usize| -> Vec<u32> { bytemuck::pod_collect_to_vec(&blocks[16 * at..][..16]) };
        let codes: Vec<i8> =
            [at, at + 8].iter().flat_map(|at| &blocks[16 * at..][..16]).map(|&c| c as i8).collect();
        let head = words(at + 16);
        let scale = f32::from_bits(head[0]);
        let largest = numbers.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
        let sum = |codes: &[i8]| codes.iter().map(|&code| i32::from(code)).sum::<i32>();
        let sums = [sum(&codes[..16]), sum(&codes[16..])];
        let packed = (sums[0] as u32 & 0xffff) | (sums[1] as u32) << 16;
        let right = [packed, (sums[0] + sums[1]) as u32, ((sums[0] + sums[1]) as f32).to_bits()];
        if head[1..] != right {
            return Err(format!("int8 block {i}: sums {:?}, not {right:?}", &head[1..]));
        }
        for ((x, rounded), code) in numbers.iter().zip(rounded).zip(&codes) {
            let step = largest / 127.0;
            let is_tie = ((x / step).fract().abs() - 0.5).abs() < 1e-3;
            let allowed = 1e-4 * step + if is_tie { step } else { 0.0 };
            let found = scale * f32::from(*code);
            if (found - rounded).abs() > allowed {
                return Err(format!("int8 block {i}: {x:e} is {found:e}, not {rounded:e}"));
            }
        }
    }
    Ok(())
}

/// Compares a product with f64, and its int8 form with the reference's. `Ok(false)` where the device has
/// no such kernel.
fn check(gpu: &Gpu, case: &Case, precision: Precision, is_gelu: bool) -> Result<bool, String> {
    let numbers = case.rows / 2;
    let x = vector(case.cols);
    let x_buffer = buffer(gpu, bytemuck::cast_slice(&x), BufferUsages::STORAGE);
    let exact = Activations::exact(x_buffer.as_entire_buffer_binding(), 1, case.cols);
    let x_of = if precision == Precision::Int8 { exact.quantized(gpu).unwrap() } else { exact };
    let (y, blocks) = (poisoned(gpu, 4 * numbers as u64), poisoned(gpu, 48 * numbers as u64));
    let (y_binding, block_binding) = (binding(&y), binding(&blocks));
    let stores_int8 = precision == Precision::Int8;
    let block_bindings = stores_int8.then_some(&block_binding);
    let matrix = case.matrix(gpu);
    let op = gpu.prepare_matmul_glu(&matrix, &x_of, is_gelu, &y_binding, block_bindings).unwrap();
    let Some(op) = op else { return Ok(false) };
    submit(gpu, |encoder| op.record(encoder));
    let found = read(gpu, &y);
    let found: Vec<f32> = bytemuck::pod_collect_to_vec(within(&found, 4 * numbers as u64)?);
    let dot = |row: usize| {
        let products = case.weights[row * case.cols..][..case.cols].iter().zip(&x);
        products.fold((0.0, 0.0), |(sum, size), (&w, &x)| {
            let product = f64::from(w) * f64::from(x);
            (sum + product, size + product.abs())
        })
    };
    for (i, &found) in found.iter().enumerate() {
        let ((gate, gate_size), (up, up_size)) = (dot(i), dot(numbers + i));
        let right = up * activated(gate, is_gelu);
        // Sums in f32, and an activation of slope 1.2 at most, some ulps off.
        let allowed = 1e-5 * (1.2 * up.abs() * gate_size + up_size * gate.abs() + right.abs()) + 1e-12;
        let error = (f64::from(found) - right).abs();
        if error.is_nan() || error > allowed {
            return Err(format!("number {i}: {found:e}, not {right:e} ± {allowed:e}"));
        }
    }
    if stores_int8 {
        let blocks = read(gpu, &blocks);
        check_int8(&found, within(&blocks, 48 * numbers as u64)?)?;
    }
    Ok(true)
}

#[test]
fn glu_in_the_product_is_that_of_gates_and_ups() {
    let Some(gpu) = gpu() else { return };
    for (f, format) in formats().into_iter().enumerate() {
        let case = Case::gaussian(format, [192, 512][f % 2], cols(format, 2 + f % 3));
        for &precision in precisions(format) {
            let result = check(gpu, &case, precision, f % 3 == 0);
            assert!(result.is_ok(), "{format} {precision:?}: {result:?}");
        }
    }
    // Halves that are not whole int8 blocks are left to other kernels.
    let case = Case::gaussian(Format::Q8_0, 96, 64);
    assert_eq!(check(gpu, &case, Precision::Int8, false), Ok(false));
}

#[test]
fn planted_faults_in_glu_are_found() {
    const FAULTS: [(&str, &str); 5] = [
        ("gate + params.rows / 2u", "gate + params.rows / 2u - 1u"),
        ("up * activated(gate)", "gate * activated(up)"),
        ("numbers[4u * i + 3u]", "numbers[4u * i + 2u]"),
        ("32u * block + i * PAIRS", "32u * block + i"),
        ("int8_block_at(block)", "int8_block_at(block ^ 1u)"),
    ];
    for (right, wrong) in FAULTS {
        let Some((gpu, planted)) = planting(Features::SUBGROUP, right, wrong) else { return };
        let gpu = gpu.with_weights_in_textures(false);
        // Blocks of 32 weights, for which a subgroup has several pairs on other GPUs than NVIDIA's.
        let case = Case::gaussian(Format::Q4_0, 512, 256);
        let result = check(&gpu, &case, Precision::Int8, false);
        assert!(planted.load(Relaxed), "there is no {right:?}");
        // With one pair at a time, their number makes no difference.
        let is_equal = wrong == "32u * block + i" && result.is_ok();
        assert!(result.is_err() || is_equal, "{right:?} may be {wrong:?}: {result:?}");
    }
}
