//! Tests that a device rounds f32 as IEEE 754 requires: the one assumption of exactness that WGSL does not
//! promise.

use super::context::Gpu;
use super::wait::Wait;
use crate::error::Misrounding;
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::library::preprocess;
use crate::gpu::shader::params::HeadParams;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;
use crate::{Format, Result};
use wgpu::BufferBinding;

const NAME: &str = "self_test";
const F16_NAME: &str = "self_test_f16";

const OPERANDS: Binding = Binding::new(1, "operands");
const RESULTS: Binding = Binding::new(2, "results");
const F16S: Binding = Binding::new(1, "f16s");
const VALUES: Binding = Binding::new(2, "values");

/// The operations in the order of the shader's results.
type Operation = (&'static str, fn(f32, f32) -> f32);
const OPERATIONS: [Operation; 5] = [
    ("the sum", |a, b| a + b),
    ("the difference", |a, b| a - b),
    ("the product", |a, b| a * b),
    ("the quotient", |a, b| a / b),
    ("the sum of the product with the first", |a, b| a * b + a),
];

/// The kernel that computes the directed cases, a shader of exact arithmetic.
pub(in crate::gpu) fn text(may_contract: bool) -> (&'static str, Result<String, String>) {
    (NAME, wgsl(may_contract))
}

fn wgsl(may_contract: bool) -> Result<String, String> {
    let switches: &[Switch] = if may_contract { &[] } else { &[Switch::NoContraction] };
    preprocess("convert/self_test.wgsl", switches)
}

/// The kernel that converts every f16.
pub(in crate::gpu) fn f16_text() -> (&'static str, Result<String, String>) {
    (F16_NAME, f16_wgsl())
}

fn f16_wgsl() -> Result<String, String> {
    preprocess("convert/self_test_f16.wgsl", &[])
}

/// Operands whose sums, products and quotients lie on, just above and just below the midpoint of two floats,
/// with every sign and over the range that kernels use.
fn operands() -> Vec<[f32; 2]> {
    let significands: [u32; 12] = [
        0x00_0000, 0x00_0001, 0x00_0002, 0x00_0003, 0x40_0000, 0x40_0001, 0x55_5555, 0x2a_aaab, 0x7f_ffff,
        0x7f_fffe, 0x12_3457, 0x6d_b6db,
    ];
    let float = |exponent: i32, significand: u32, sign: u32| {
        f32::from_bits(sign << 31 | ((exponent + 127) as u32) << 23 | significand)
    };
    let mut operands = Vec::new();
    for (i, &first) in significands.iter().enumerate() {
        for (j, &second) in significands.iter().enumerate() {
            // The last bits of the second operand lie near the last bit of the first, so that rounding meets
            // ties.
            for distance in [0, 1, 2, 11, 22, 23, 24, 25, 26] {
                let sign = (i + j + distance) as u32;
                let exponent = (i as i32 * 5 - 30).clamp(-30, 19);
                operands.push([
                    float(exponent, first, sign & 1),
                    float(exponent - distance as i32, second, sign >> 1 & 1),
                ]);
            }
        }
    }
    operands
}

/// The first result that differs from the CPU's, if any.
pub(super) async fn run(gpu: &Gpu, wait: Wait) -> Result<Option<Misrounding>> {
    let operands = operands();
    let mut results = vec![0f32; OPERATIONS.len() * operands.len()];
    let (count, in_bytes, out_bytes) =
        (operands.len() as u64, size_of_val(&operands[..]) as u64, size_of_val(&results[..]) as u64);
    let prepare = |gpu: &Gpu, input: &BufferBinding, output: &BufferBinding| {
        let bindings = Bindings::new()
            .read(OPERANDS, &Range::new("operands", input, in_bytes))
            .write(RESULTS, &Range::new("results", output, out_bytes));
        let program = (NAME, Arithmetic::Exact);
        let params = HeadParams::default();
        Ok(Op::new([gpu.prepare_step(program, wgsl, Dispatch::of(count), &params, &bindings)?]))
    };
    gpu.run_on_slices(wait, &operands, &mut results, prepare).await?;
    for (operands, results) in operands.into_iter().zip(results.chunks(OPERATIONS.len())) {
        for ((operation, expected), &found) in OPERATIONS.iter().zip(results) {
            let expected = expected(operands[0], operands[1]);
            // No kernel relies on the sign of a zero.
            if expected.to_bits() != found.to_bits() && (expected != 0.0 || found != 0.0) {
                return Ok(Some(Misrounding { operation, operands, expected, found }));
            }
        }
    }
    Ok(None)
}

/// Whether the device converts every f16 to f32 exactly, subnormals included.
pub(super) async fn has_exact_f16(gpu: &Gpu, wait: Wait) -> Result<bool> {
    let f16s: Vec<u16> = (0..=u16::MAX).collect();
    let mut values = vec![0f32; f16s.len()];
    let (in_bytes, out_bytes) = (size_of_val(&f16s[..]) as u64, size_of_val(&values[..]) as u64);
    let dispatch = Dispatch::of(f16s.len() as u64 / 2);
    let prepare = |gpu: &Gpu, input: &BufferBinding, output: &BufferBinding| {
        let bindings = Bindings::new()
            .read(F16S, &Range::new("f16s", input, in_bytes))
            .write(VALUES, &Range::new("values", output, out_bytes));
        let program = (F16_NAME, Arithmetic::Loose);
        let params = HeadParams::default();
        Ok(Op::new([gpu.prepare_step(program, |_| f16_wgsl(), dispatch, &params, &bindings)?]))
    };
    gpu.run_on_slices(wait, &f16s, &mut values, prepare).await?;
    let mut expected = vec![0f32; f16s.len()];
    Format::F16.dequantize_blocks(bytemuck::cast_slice(&f16s), &mut expected);
    Ok(values.iter().zip(&expected).all(|(value, expected)| value == expected || !expected.is_finite()))
}
