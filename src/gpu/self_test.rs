//! Whether a device rounds f32 as IEEE 754 says: the one thing that exactness assumes and WGSL does not promise.

use super::kernel::{Access, NO_CONTRACTION};
use super::op::{Dispatch, Op, Range, in_order};
use super::pipeline::Arithmetic;
use super::wait::Wait;
use super::{Gpu, shader};
use crate::error::Misrounding;
use crate::{Format, Result};
use wgpu::BufferBinding;

pub(super) const NAME: &str = "self_test";
pub(super) const HALF_NAME: &str = "self_test_half";

/// The operations in the order of the shader's results.
type Operation = (&'static str, fn(f32, f32) -> f32);
const OPERATIONS: [Operation; 5] = [
    ("the sum", |a, b| a + b),
    ("the difference", |a, b| a - b),
    ("the product", |a, b| a * b),
    ("the quotient", |a, b| a / b),
    ("the sum of the product with the first", |a, b| a * b + a),
];

pub(super) fn wgsl(may_contract: bool) -> Result<String, String> {
    let names: &[&str] = if may_contract { &[] } else { &[NO_CONTRACTION] };
    shader::join("kernel/self_test.wgsl", None, names, &[("WORKGROUP", super::kernel::WORKGROUP as usize)])
}

/// Operands whose sums, products and quotients lie on, just above and just below the middle between two floats, in
/// every sign and over the range that kernels use.
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
            // The second operand's last places lie around the last place of the first: rounding has ties.
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

/// The first result that is not the CPU's, if there is one.
pub(super) async fn run(gpu: &Gpu, wait: Wait) -> Result<Option<Misrounding>> {
    let operands = operands();
    let mut results = vec![0f32; OPERATIONS.len() * operands.len()];
    let (count, in_bytes, out_bytes) =
        (operands.len() as u64, size_of_val(&operands[..]) as u64, size_of_val(&results[..]) as u64);
    let prepare = |gpu: &Gpu, input: &BufferBinding, output: &BufferBinding| {
        let bindings = in_order([Access::Read, Access::ReadWrite]);
        let pipeline = gpu.pipeline(NAME, &bindings, Arithmetic::Exact, wgsl)?;
        let bound = [Range::new("operands", input, in_bytes), Range::new("results", output, out_bytes)];
        Ok(Op { steps: vec![gpu.bind(pipeline, Dispatch::of(count), &[], &in_order(bound))?] })
    };
    gpu.run_once(wait, &operands, &mut results, prepare).await?;
    for (operands, results) in operands.into_iter().zip(results.chunks(OPERATIONS.len())) {
        for ((operation, expected), &found) in OPERATIONS.iter().zip(results) {
            let expected = expected(operands[0], operands[1]);
            // A zero's sign is one of the things no kernel relies on.
            if expected.to_bits() != found.to_bits() && (expected != 0.0 || found != 0.0) {
                return Ok(Some(Misrounding { operation, operands, expected, found }));
            }
        }
    }
    Ok(None)
}

/// Whether the device's own conversion from f16 is exact for all numbers, subnormals too.
pub(super) async fn keeps_halves(gpu: &Gpu, wait: Wait) -> Result<bool> {
    let halves: Vec<u16> = (0..=u16::MAX).collect();
    let mut values = vec![0f32; halves.len()];
    let (in_bytes, out_bytes) = (size_of_val(&halves[..]) as u64, size_of_val(&values[..]) as u64);
    let dispatch = Dispatch::of(halves.len() as u64 / 2);
    let prepare = |gpu: &Gpu, input: &BufferBinding, output: &BufferBinding| {
        let bindings = in_order([Access::Read, Access::ReadWrite]);
        let pipeline = gpu.pipeline(HALF_NAME, &bindings, Arithmetic::Loose, |_| half_wgsl())?;
        let bound = [Range::new("halves", input, in_bytes), Range::new("values", output, out_bytes)];
        Ok(Op { steps: vec![gpu.bind(pipeline, dispatch, &[], &in_order(bound))?] })
    };
    gpu.run_once(wait, &halves, &mut values, prepare).await?;
    let mut expected = vec![0f32; halves.len()];
    Format::F16.dequantize_blocks(bytemuck::cast_slice(&halves), &mut expected);
    Ok(values.iter().zip(&expected).all(|(value, expected)| value == expected || !expected.is_finite()))
}

pub(super) fn half_wgsl() -> Result<String, String> {
    let constants = [("WORKGROUP", super::kernel::WORKGROUP as usize)];
    shader::join("kernel/self_test_half.wgsl", None, &[], &constants)
}
