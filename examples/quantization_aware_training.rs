//! Trains a small network on Shakespeare twice, in the same steps: plainly, and in the last ones through
//! `cpu::round_trip` (the straight-through estimator). Quantizes both, and compares them on text held out.

use qmill::{Format, cpu};
use rand::{RngExt, SeedableRng, rngs::StdRng};

const CONTEXT: usize = 4;
const LETTERS: usize = 92;
const HIDDEN: usize = 256; // weights in a row: a block of Q2_K
const WEIGHTS: usize = (CONTEXT + 1) * LETTERS * HIDDEN;
const STEPS: usize = 600;

/// The loss of predicting the last letter from those before. Adds its gradient.
fn loss(weights: &[f32], text: &[usize], gradient: &mut [f32]) -> f32 {
    let row = |place: usize, letter: usize| (place * LETTERS + letter) * HIDDEN;
    let sum = |h: usize| (0..CONTEXT).map(|place| weights[row(place, text[place]) + h]).sum::<f32>();
    let hidden: Vec<f32> = (0..HIDDEN).map(|h| sum(h).max(0.0)).collect();
    let power = |row: &[f32]| row.iter().zip(&hidden).map(|(w, h)| w * h).sum::<f32>().exp();
    let powers: Vec<f32> = weights[row(CONTEXT, 0)..].chunks(HIDDEN).map(power).collect();
    let total: f32 = powers.iter().sum();
    let mut back = vec![0.0; HIDDEN];
    for (letter, power) in powers.iter().enumerate() {
        let slope = power / total - if letter == text[CONTEXT] { 1.0 } else { 0.0 };
        for (h, i) in (row(CONTEXT, letter)..).take(HIDDEN).enumerate() {
            gradient[i] += slope * hidden[h];
            back[h] += slope * weights[i];
        }
    }
    for h in (0..HIDDEN).filter(|&h| hidden[h] > 0.0) {
        (0..CONTEXT).for_each(|place| gradient[row(place, text[place]) + h] += back[h]);
    }
    (total / powers[text[CONTEXT]]).ln()
}

/// Trains, from step `qat` on through the format, and quantizes. Returns the loss on `held_out`.
fn quantized_loss(train: &[usize], held_out: &[usize], qat: usize) -> qmill::Result<f32> {
    let mut random = StdRng::seed_from_u64(1);
    let mut weights: Vec<f32> = (0..WEIGHTS).map(|_| random.random_range(-0.02..0.02)).collect();
    let (mut squares, mut used) = (vec![0.0; WEIGHTS], weights.clone());
    for step in 0..STEPS {
        let format = if step < qat { Format::F32 } else { Format::Q2_K };
        cpu::round_trip(format, &weights, &mut used)?;
        let mut gradient = vec![0.0; WEIGHTS];
        for _ in 0..64 {
            let at = random.random_range(0..train.len() - CONTEXT);
            loss(&used, &train[at..=at + CONTEXT], &mut gradient);
        }
        let rate = 0.01 * (1.0 - step as f32 / STEPS as f32);
        for ((w, g), square) in weights.iter_mut().zip(gradient).zip(&mut squares) {
            *square = 0.99 * *square + 0.01 * g * g;
            *w -= rate * g / (f32::sqrt(*square) + 1e-4);
        }
    }
    cpu::round_trip_in_place(Format::Q2_K, &mut weights)?;
    let losses = held_out.windows(CONTEXT + 1).map(|text| loss(&weights, text, &mut used));
    Ok(losses.sum::<f32>() / (held_out.len() - CONTEXT) as f32)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = include_bytes!("../tests/data/held-out.txt").map(|c| usize::from(c.saturating_sub(31)));
    let (train, held_out) = text.split_at(text.len() * 9 / 10);
    let (plain, aware) = (quantized_loss(train, held_out, STEPS)?, quantized_loss(train, held_out, 420)?);
    println!("Q2_K loss: {plain:.3} trained plainly, {aware:.3} through Q2_K: {:.3} less", plain - aware);
    (aware < plain).then_some(()).ok_or_else(|| "training through the round trip did not help".into())
}
