//! Products with the matrices of experts.

use super::products::Vectors;
use crate::Result;
use crate::llm::weights::Encoded;

/// The products with the matrix of each expert in `numbers`, end to end in `y`. `x` has one vector for each
/// expert, or one for each token. An expert's weights are read once.
pub(in crate::llm::cpu) fn expert_matmul(
    experts: &Encoded,
    numbers: &[f32],
    x: &[f32],
    y: &mut [f32],
) -> Result<()> {
    let rows = y.len() / numbers.len();
    let experts_per_vector = numbers.len() / (x.len() / experts.cols);
    let mut assignments: Vec<(usize, usize)> =
        numbers.iter().enumerate().map(|(i, number)| (number.to_bits() as usize, i)).collect();
    assignments.sort_unstable();
    for same in assignments.chunk_by(|a, b| a.0 == b.0) {
        let vector = |i: usize| &x[i / experts_per_vector * experts.cols..][..experts.cols];
        let gathered: Vec<f32> = same.iter().flat_map(|&(_, i)| vector(i)).copied().collect();
        let mut products = vec![0.0; same.len() * rows];
        let start = same[0].0 * rows;
        Vectors::new(&gathered, experts.cols, [experts.format].into_iter())?.multiply(
            experts,
            start..start + rows,
            &mut products,
        )?;
        for (&(_, i), products) in same.iter().zip(products.chunks(rows)) {
            y[i * rows..][..rows].copy_from_slice(products);
        }
    }
    Ok(())
}
