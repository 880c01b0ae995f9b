//! Products with experts, one by one and in expert batches, against the reference.

use super::parity::{binding, buffer, poisoned, read, submit, within};
use super::product::{Case, X};
use super::{gpu, planting};
use qmill::gpu::{Activations, Precision};
use qmill::wgpu::{BufferUsages, Features};
use qmill::{Format, Gpu, cpu};
use std::sync::atomic::Ordering::Relaxed;

/// Rows of an expert: not a multiple of the rows of a lane.
const ROWS: usize = 33;

/// `experts` matrices, and `top_k` expert numbers for each vector, some of them out of range.
struct Mixture {
    format: Format,
    experts: usize,
    cols: usize,
    top_k: usize,
    numbers: Vec<u32>,
}

impl Mixture {
    fn check(&self, gpu: &Gpu, precision: Precision) -> Result<(), String> {
        let Self { format, experts, cols, top_k, ref numbers } = *self;
        let vectors = numbers.len() / top_k;
        let case = Case::gaussian(format, experts * ROWS, cols);
        let x = crate::support::gaussian(7, vectors * cols);
        let x_buffer = buffer(gpu, bytemuck::cast_slice(&x), BufferUsages::STORAGE);
        let number_buffer = buffer(gpu, bytemuck::cast_slice(numbers), BufferUsages::STORAGE);
        let x_binding = x_buffer.as_entire_buffer_binding();
        let activations = if precision == Precision::Int8 {
            Activations::int8(gpu, x_binding, vectors, cols).unwrap()
        } else {
            Activations::exact(x_binding, vectors, cols)
        };
        let y_bytes = 4 * (numbers.len() * ROWS) as u64;
        let y_buffer = poisoned(gpu, y_bytes);
        let (matrix, y) = (case.matrix(gpu), binding(&y_buffer));
        let of = number_buffer.as_entire_buffer_binding();
        let op = gpu.prepare_matmul_indexed(&matrix, ROWS, &activations, &of, top_k, &y);
        let op = op.map_err(|error| error.to_string())?;
        // Twice, so that what the first run leaves in scratch memory matters.
        for _ in 0..2 {
            submit(gpu, |encoder| {
                activations.quantize().iter().for_each(|quantize| quantize.record(encoder));
                op.record(encoder);
            });
        }
        let y: Vec<f32> = bytemuck::pod_collect_to_vec(within(&read(gpu, &y_buffer), y_bytes)?);
        self.judge(&case, precision, &x, &y)
    }

    /// Compares each row of `y` with f64 sums, and if every number is in range, all of them with the
    /// reference.
    fn judge(&self, case: &Case, precision: Precision, x: &[f32], y: &[f32]) -> Result<(), String> {
        let Self { format, experts, cols, top_k, ref numbers } = *self;
        let expert_bytes = case.bytes.len() / experts;
        for (i, (&number, y)) in numbers.iter().zip(y.chunks(ROWS)).enumerate() {
            if number as usize >= experts {
                if y.iter().any(|y| y.to_bits() != 0xa5a5_a5a5) {
                    return Err(format!("assignment {i} is to no expert, and was written"));
                }
                continue;
            }
            let bytes = case.bytes[number as usize * expert_bytes..][..expert_bytes].to_vec();
            let x = &x[i / top_k * cols..][..cols];
            Case::of(format, ROWS, cols, bytes)
                .judge((precision, cols, 0.0), (X::Gaussian(1.0), x), None, y)
                .map_err(|fault| format!("assignment {i}, expert {number}: {fault}"))?;
        }
        if precision == Precision::Exact && numbers.iter().all(|&number| (number as usize) < experts) {
            let mut reference = vec![0.0; y.len()];
            cpu::matmul_indexed(format, ROWS, cols, &case.bytes, x, numbers, &mut reference).unwrap();
            let largest = reference.iter().fold(0.0, |largest: f32, y| largest.max(y.abs()));
            let near = |(y, reference): (&f32, &f32)| (y - reference).abs() <= 1e-4 * largest;
            return if y.iter().zip(&reference).all(near) {
                Ok(())
            } else {
                Err("not near the reference".to_owned())
            };
        }
        Ok(())
    }
}

/// Numbers below `experts`, in no order.
fn numbers(count: u32, experts: u32) -> Vec<u32> {
    (0..count).map(|i| (i * i + 7 * i) / 3 % experts).collect()
}

fn mixtures() -> Vec<Mixture> {
    let of = |format, experts, cols, top_k, numbers| Mixture { format, experts, cols, top_k, numbers };
    vec![
        // At most as many assignments as experts: one by one. One number is out of range.
        of(Format::Q4_K, 5, 256, 1, vec![4]),
        of(Format::Q4_K, 7, 256, 2, vec![4, 0, 2, 7, 3, 3]),
        // A number whose first row wraps around to row 1 in 32 bits.
        of(Format::Q4_K, 7, 256, 2, vec![4, 0, 2, 1_041_204_193, 3, 3]),
        // All to the same expert: one full batch, and a last batch of one.
        of(Format::Q4_K, 3, 256, 1, vec![2; 8]),
        of(Format::Q8_0, 2, 96, 3, vec![0; 33]),
        of(Format::Q4_0, 1, 64, 1, vec![0; 2]),
        // Experts without assignments, first and last, and numbers out of range between.
        of(Format::Q6_K, 9, 512, 2, [1, 1, 5, 1, 7, 5, 5, 1, 5, 5, 5, 5].to_vec()),
        of(Format::Q4_K, 5, 256, 2, vec![4, 0, 2, 5, 3, 3, u32::MAX, 3, 9, 0]),
        of(Format::Q5_0, 2, 64, 1, vec![2; 6]),
        // Odd counts.
        of(Format::Q4_0, 4, 160, 3, numbers(123, 4)),
        of(Format::IQ4_XS, 8, 256, 2, numbers(38, 8)),
        of(Format::F16, 3, 77, 1, numbers(19, 3)),
        of(Format::F32, 20, 9, 4, numbers(84, 20)),
    ]
}

#[test]
fn experts_are_multiplied_as_by_the_reference() {
    let Some(gpu) = gpu() else { return };
    for mixture in mixtures() {
        for &precision in super::product::precisions(mixture.format) {
            if precision == Precision::Int8 && mixture.cols % 32 != 0 {
                continue;
            }
            let result = mixture.check(gpu, precision);
            let Mixture { format, experts, top_k, ref numbers, .. } = mixture;
            assert_eq!(
                result,
                Ok(()),
                "{format} {precision:?}, {experts} experts, {top_k} each: {numbers:?}"
            );
        }
    }
}

#[test]
fn planted_faults_in_expert_batches_are_found() {
    let faults = [
        ("slots[i] = NO_ASSIGNMENT;", ""),
        ("select(0u, 1u, experts[assignment] == i)", "1u"),
        ("params.columns - 1u) / params.columns;", "params.columns - 2u) / params.columns;"),
        ("other < expert;", "other + 1u < expert;"),
        ("assignment < i; assignment++", "assignment + 1u < i; assignment++"),
        ("experts[assignment] == expert", "experts[assignment] <= expert"),
        ("min(slots[vector], params.batch - 1u)", "min(vector, params.batch - 1u)"),
        ("let vector = slots[column];", "let vector = column;"),
        ("let assignment = slots[tile * COLUMNS];", "let assignment = slots[tile];"),
        ("slots[task.vector] < params.batch", "slots[task.vector] + 1u < params.batch"),
    ];
    // The first assignment is to no expert, and the last is the only one of its batch.
    let numbers = [9, 1, 5, 1, 6, 5, 5, 1, 1, 5, 5, 5, 5, 7].to_vec();
    let mixture = Mixture { format: Format::Q4_0, experts: 9, cols: 64, top_k: 2, numbers };
    for (right, wrong) in faults {
        let Some((gpu, planted)) = planting(Features::empty(), right, wrong) else { return };
        let result = mixture.check(&gpu, Precision::Exact);
        assert!(planted.load(Relaxed), "there is no {right:?}");
        assert!(result.is_err(), "{right:?} may be {wrong:?}");
    }
    let Some(gpu) = gpu() else { return };
    assert_eq!(mixture.check(gpu, Precision::Exact), Ok(()));
}
