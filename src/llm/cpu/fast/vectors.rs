//! Norms and activations.

use super::exp::exp;
use crate::llm::architectures::Activation;
use multiversion::multiversion;
use rayon::prelude::*;

/// Floats that are worth a task of their own.
const TASK: usize = 1 << 14;

/// Divides each run of floats, as long as `weights`, by the root of its mean square, and multiplies by the
/// weights.
pub(in crate::llm::cpu) fn rms_norm(floats: &mut [f32], weights: &[f32], epsilon: f32) {
    let rows = (TASK / weights.len()).max(1) * weights.len();
    floats.par_chunks_mut(rows).for_each(|floats| {
        for row in floats.chunks_mut(weights.len()) {
            let mean = sum_of_squares(row) / row.len() as f32;
            let factor = 1.0 / (mean + epsilon).sqrt();
            row.iter_mut().zip(weights).for_each(|(x, weight)| *x *= factor * weight);
        }
    });
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn sum_of_squares(floats: &[f32]) -> f32 {
    let mut sums = [0.0; 32];
    let (whole, rest) = floats.as_chunks::<32>();
    for floats in whole {
        for (sum, x) in sums.iter_mut().zip(floats) {
            *sum += x * x;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}

/// `gated` = activation(gate)·up, row by row of `length` floats. Gates and ups of a row have as many floats
/// between them and the next row's as `stride` says.
pub(in crate::llm::cpu) fn glu(
    activation: Activation,
    (gates, ups): (&[f32], &[f32]),
    stride: usize,
    gated: &mut [f32],
    length: usize,
) {
    let rows = (TASK / length).max(1);
    gated.par_chunks_mut(rows * length).enumerate().for_each(|(task, gated)| {
        for (row, gated) in gated.chunks_mut(length).enumerate() {
            let start = (task * rows + row) * stride;
            glu_row(activation, &gates[start..start + length], &ups[start..start + length], gated);
        }
    });
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn glu_row(activation: Activation, gates: &[f32], ups: &[f32], gated: &mut [f32]) {
    let rows = gated.iter_mut().zip(gates.iter().zip(ups));
    match activation {
        Activation::Silu => rows.for_each(|(gated, (&x, up))| *gated = x / (1.0 + exp(-x)) * up),
        Activation::Gelu => {
            const ROOT: f32 = 0.797_884_6;
            // (1 + tanh u) / 2 = 1 / (1 + e^(-2u))
            rows.for_each(|(gated, (&x, up))| {
                *gated = x / (1.0 + exp(-2.0 * ROOT * x * (1.0 + 0.044_715 * x * x))) * up;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::cpu::vectors;

    fn floats(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 71 % 257) as f32 - 128.0) / 9.0).collect()
    }

    #[test]
    fn norms_and_activations_are_those_of_the_reference() {
        let weights = floats(576);
        let (mut found, mut right) = (floats(3 * 576), floats(3 * 576));
        rms_norm(&mut found, &weights, 1e-5);
        vectors::rms_norm(&mut right, &weights, 1e-5);
        assert!(found.iter().zip(&right).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs()));
        for activation in [Activation::Silu, Activation::Gelu] {
            let all = floats(4 * 2 * 50);
            let mut gated = vec![f32::NAN; 4 * 50];
            glu(activation, (&all, &all[50..]), 100, &mut gated, 50);
            for (i, found) in gated.into_iter().enumerate() {
                let (gate, up) = (all[i / 50 * 100 + i % 50], all[i / 50 * 100 + 50 + i % 50]);
                let right = vectors::activate(activation, gate) * up;
                assert!((found - right).abs() <= 1e-6 * (gate * up).abs().max(1e-3), "{gate} {up}: {found}");
            }
        }
    }
}
