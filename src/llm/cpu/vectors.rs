//! Operations on the floats of a token: norm, rope, activation, dot product.

use crate::llm::architectures::{Activation, RopeLayout};

/// Divides each run of floats, as long as `weights`, by the root of its mean square, and multiplies by the
/// weights.
pub(super) fn rms_norm(floats: &mut [f32], weights: &[f32], epsilon: f32) {
    for row in floats.chunks_mut(weights.len()) {
        let mean = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / row.len() as f64;
        let factor = (1.0 / (mean + f64::from(epsilon)).sqrt()) as f32;
        row.iter_mut().zip(weights).for_each(|(x, weight)| *x *= factor * weight);
    }
}

/// Rotates the pairs of a head; `cos_sin` has the cosine and the sine of each pair. Floats past the pairs
/// stay.
pub(super) fn rotate_head(layout: RopeLayout, head: &mut [f32], cos_sin: &[f32]) {
    let half = cos_sin.len() / 2;
    for (i, cos_sin) in cos_sin.chunks(2).enumerate() {
        let [a, b] = match layout {
            RopeLayout::Interleaved => [2 * i, 2 * i + 1],
            RopeLayout::SplitHalves => [i, half + i],
        };
        let (x, y) = (head[a], head[b]);
        head[a] = x * cos_sin[0] - y * cos_sin[1];
        head[b] = x * cos_sin[1] + y * cos_sin[0];
    }
}

pub(super) fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => {
            const ROOT: f32 = 0.797_884_6;
            0.5 * x * (1.0 + (ROOT * x * (1.0 + 0.044_715 * x * x)).tanh())
        }
    }
}

/// A dot product in f64, as eight sums, so that no addition waits for another.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let (a_lanes, b_lanes) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder());
    let rest: f64 = rest.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    let mut sums = [0.0; 8];
    for (a, b) in a_lanes.zip(b_lanes) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f64::from(a) * f64::from(b);
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rms_norm_leaves_a_mean_square_of_one() {
        let mut floats = vec![3.0, -4.0, 0.0, 0.0, 6.0, 8.0, 10.0, 0.0];
        rms_norm(&mut floats, &[1.0, 1.0, 1.0, 2.0], 0.0);
        // The mean square of 3, -4, 0, 0 is 6.25, that of the others 50.
        let right =
            [1.2, -1.6, 0.0, 0.0].into_iter().chain([6.0, 8.0, 10.0, 0.0].map(|x: f32| x / 50f32.sqrt()));
        assert!(floats.iter().zip(right).all(|(found, right)| (found - right).abs() < 1e-6), "{floats:?}");
        rms_norm(&mut floats[..1], &[5.0], 1e12);
        assert!(floats[0].abs() < 1e-4);
    }

    #[test]
    fn rope_by_90_degrees_exchanges_the_floats_of_a_pair() {
        // Pair 0 rotates by 90 degrees, pair 1 by none; the last two floats are in no pair.
        let cos_sin = [0.0, 1.0, 1.0, 0.0];
        let mut head = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        rotate_head(RopeLayout::Interleaved, &mut head, &cos_sin);
        assert_eq!(head, [-2.0, 1.0, 3.0, 4.0, 5.0, 6.0]);
        let mut head = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        rotate_head(RopeLayout::SplitHalves, &mut head, &cos_sin);
        assert_eq!(head, [-3.0, 2.0, 1.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn activations_follow_their_definitions() {
        for x in [-30.0f32, -2.0, -0.5, 0.0, 0.5, 2.0, 30.0] {
            let wide = f64::from(x);
            let silu = wide / (1.0 + (-wide).exp());
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
            let gelu = 0.5 * wide * (1.0 + inner.tanh());
            for (activation, right) in [(Activation::Silu, silu), (Activation::Gelu, gelu)] {
                assert!((f64::from(activate(activation, x)) - right).abs() < 1e-6, "{activation:?} of {x}");
            }
        }
    }

    #[test]
    fn a_dot_product_includes_a_partial_last_lane() {
        let floats: Vec<f32> = (1..=19).map(|x| x as f32).collect();
        assert_eq!(dot(&floats, &floats), 2470.0);
        assert_eq!(dot(&floats[..3], &floats[1..4]), 20.0);
    }
}
