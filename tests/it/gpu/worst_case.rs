//! The kernels on a device that is as inexact as WGSL allows: the bytes stay the same.
//!
//! No driver at hand fuses, reassociates and flushes all that it may, so shaders are rewritten to do it
//! themselves.

mod expressions;
mod pass;

use super::parity::check;
use super::round_trip::sum_faults;
use super::weights::{KINDS, encoded, random_blocks, sample};
use super::{adapter, another_device_with, formats, scaled};
use pass::at_worst;
use qmill::gpu::Converter;
use qmill::{Format, Gpu, wgpu};
use std::io::Write;
use std::sync::Arc;

/// Weights of each distribution.
const WEIGHTS: usize = 65536;

/// A device with f64 in shaders, which the worst case needs.
fn device() -> Option<(wgpu::Device, wgpu::Queue)> {
    let adapter = adapter()?;
    if !adapter.features().contains(wgpu::Features::SHADER_F64) {
        let name = adapter.get_info().name;
        // Bypasses the test harness, which shows output only of failed tests.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the worst case, which needs f64 in shaders: {name} has none"
        );
        return None;
    }
    another_device_with(wgpu::Features::SHADER_F64)
}

/// A device whose shaders are changed by `plant` and then rewritten to the worst case.
fn worst_gpu(plant: fn(String) -> String) -> Option<Gpu> {
    let (device, queue) = device()?;
    // This tests the device's own conversion, which must stay.
    let rewrite = move |name: &str, wgsl: String| match name {
        "self_test_f16" => wgsl,
        _ => at_worst(&plant(wgsl)),
    };
    Some(Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap())
}

/// Differences from the reference when `count` weights of each float format and distribution are quantized to
/// `to`.
fn quantizing_faults(gpu: &Gpu, to: Format, count: usize) -> impl Iterator<Item = String> {
    let mut converter = Converter::new(gpu, 256 << 20);
    let sources = [Format::F32, Format::F16, Format::BF16].into_iter().filter(move |&from| from != to);
    sources.flat_map(|from| KINDS.map(|kind| (from, kind))).filter_map(move |(from, kind)| {
        let weights = encoded(from, &sample(kind, count));
        let fault = check(&mut converter, from, &weights, to).err()?;
        Some(format!("{kind}: {fault}"))
    })
}

#[test]
fn the_worst_case_is_exact_in_single_operations() {
    let Some(gpu) = worst_gpu(|wgsl| wgsl) else { return };
    assert!(gpu.misrounding().is_none(), "{}", gpu.misrounding().unwrap());
}

#[test]
fn quantizers_give_the_same_bytes_at_worst() {
    let Some(gpu) = worst_gpu(|wgsl| wgsl) else { return };
    let encoders = formats().into_iter().filter(|format| format.info().can_quantize());
    let faults: Vec<String> = encoders.flat_map(|to| quantizing_faults(&gpu, to, scaled(WEIGHTS))).collect();
    assert!(faults.is_empty(), "{} of these differ:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn dequantizers_give_the_same_bits_at_worst() {
    let Some(gpu) = worst_gpu(|wgsl| wgsl) else { return };
    let mut converter = Converter::new(&gpu, 256 << 20);
    let mut faults = Vec::new();
    for from in formats().into_iter().filter(|format| !format.is_float()) {
        let blocks = random_blocks(from, scaled(WEIGHTS));
        let results = [Format::F32, Format::F16].map(|to| check(&mut converter, from, &blocks, to));
        faults.extend(results.into_iter().filter_map(Result::err));
    }
    assert!(faults.is_empty(), "{} of these differ:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn error_sums_have_the_same_bits_at_worst() {
    let Some(gpu) = worst_gpu(|wgsl| wgsl) else { return };
    let to: Vec<Format> = formats().into_iter().filter(|format| format.info().can_quantize()).collect();
    for from in [Format::F32, Format::F16, Format::BF16] {
        for kind in KINDS {
            let faults = sum_faults(&gpu, from, &encoded(from, &sample(kind, 8192)), &to);
            assert!(faults.is_empty(), "{kind}: {faults:#?}");
        }
    }
}

#[test]
fn the_worst_case_changes_unprotected_error_sums() {
    let sum: fn(String) -> String = |wgsl| unprotected4(&wgsl, "add4", "a + b");
    let square: fn(String) -> String = |wgsl| unprotected4(&wgsl, "mul4", "a * b");
    for (function, plant) in [("add4", sum), ("mul4", square)] {
        let Some(gpu) = worst_gpu(plant) else { return };
        let source = encoded(Format::F32, &sample("gaussian", WEIGHTS));
        assert!(!sum_faults(&gpu, Format::F32, &source, &[Format::Q8_0]).is_empty(), "{function}");
    }
}

/// `wgsl` without the `opaque4` in `function`, if the function is there.
fn unprotected4(wgsl: &str, function: &str, operation: &str) -> String {
    let (with, without) = (format!("return opaque4({operation});"), format!("return {operation};"));
    let protected = format!("fn {function}(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {{ {with} }}");
    wgsl.replace(&protected, &protected.replace(&with, &without))
}

/// `wgsl` without the `opaque` in `function`, which occurs once.
fn unprotected(wgsl: &str, function: &str, operation: &str) -> String {
    let (with, without) = (format!("return opaque({operation});"), format!("return {operation};"));
    let protected = format!("fn {function}(a: f32, b: f32) -> f32 {{ {with} }}");
    assert_eq!(wgsl.matches(&protected).count(), 1, "{protected}");
    wgsl.replace(&protected, &protected.replace(&with, &without))
}

#[test]
fn the_worst_case_fuses_an_unprotected_product() {
    let Some(gpu) = worst_gpu(|wgsl| unprotected(&wgsl, "mul", "a * b")) else { return };
    let misrounding = gpu.misrounding().expect("a product that is fused is rounded once");
    assert_eq!(misrounding.operation, "the sum of the product with the first");
}

/// Formats whose bytes depend on the order of sums, which `add` protects.
const SUMMING: [Format; 7] =
    [Format::Q2_K, Format::Q3_K, Format::Q4_K, Format::Q5_K, Format::Q6_K, Format::IQ4_NL, Format::IQ4_XS];

#[test]
fn the_worst_case_reassociates_an_unprotected_sum() {
    let Some(gpu) = worst_gpu(|wgsl| unprotected(&wgsl, "add", "a + b")) else { return };
    for to in SUMMING.into_iter().filter(|to| formats().contains(to)) {
        assert!(quantizing_faults(&gpu, to, WEIGHTS).next().is_some(), "{to} does not notice");
    }
}
