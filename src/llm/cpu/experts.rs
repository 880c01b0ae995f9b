//! Mixtures of experts: router, products, and the weighted sum.

use super::products::matmul_rows;
use crate::Result;
use crate::llm::weights::Encoded;

/// For each token, the numbers of the `top_k` of `count` experts with the largest logits, as the bits of u32;
/// and the softmax of these logits. Of equal logits the first expert comes first.
pub(super) fn moe_router(logits: &[f32], count: usize, top_k: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut experts, mut weights) = (Vec::new(), Vec::new());
    for logits in logits.chunks(count) {
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        order.truncate(top_k);
        let exps = order.iter().map(|&expert| (logits[expert] - logits[order[0]]).exp());
        let sum: f32 = exps.clone().sum();
        weights.extend(exps.map(|exp| exp / sum));
        experts.extend(order.iter().map(|&expert| f32::from_bits(expert as u32)));
    }
    (experts, weights)
}

/// The products with the matrix of each expert in `numbers`, end to end in `y`. `x` has one vector for each
/// expert, or one for each token.
pub(super) fn expert_matmul(
    experts: &Encoded,
    numbers: &[f32],
    x: &[f32],
    y: &mut [f32],
    threads: usize,
) -> Result<()> {
    let rows = y.len() / numbers.len();
    let experts_per_vector = numbers.len() / (x.len() / experts.cols);
    for (i, (number, y)) in numbers.iter().zip(y.chunks_mut(rows)).enumerate() {
        let x = &x[i / experts_per_vector * experts.cols..][..experts.cols];
        let start = number.to_bits() as usize * rows;
        matmul_rows(experts, start, x, y, threads)?;
    }
    Ok(())
}

/// For each token, the sum of the outputs of its `top_k` experts, of `width` floats each, times their
/// weights.
pub(super) fn moe_combine(outputs: &[f32], weights: &[f32], width: usize, top_k: usize) -> Vec<f32> {
    let mut sums = vec![0.0; outputs.len() / top_k];
    for (i, (output, weight)) in outputs.chunks(width).zip(weights).enumerate() {
        let sums = &mut sums[i / top_k * width..][..width];
        sums.iter_mut().zip(output).for_each(|(sum, x)| *sum += weight * x);
    }
    sums
}
