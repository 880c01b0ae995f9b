//! What a base predicts at a position of a text.

use super::perplexity::log_sum;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// What a base predicts at a position of a text, as it is kept: whether it comes from a file or was computed
/// now, a measure sees the same numbers.
#[derive(Clone, Default, Debug)]
pub(super) struct Position {
    /// ln p of the text's next token, from exact logits.
    pub(super) ln_p: f64,
    /// The most likely token; the first of equals.
    pub(super) top: u32,
    /// Logits minus the largest, rounded to f16.
    pub(super) logits: Vec<f32>,
}

impl Position {
    /// The position before `token` from the base's logits.
    pub(super) fn of(logits: &[f32], token: u32) -> Self {
        let top = top(logits);
        let largest = logits.get(top).copied().unwrap_or_default();
        let mut shifted: Vec<f32> = logits.iter().map(|logit| logit - largest).collect();
        let mut rounded = vec![f16::ZERO; shifted.len()];
        rounded.convert_from_f32_slice(&shifted);
        rounded.convert_to_f32_slice(&mut shifted);
        let ln_p = f64::from(logits[token as usize]) - log_sum(logits);
        Self { ln_p, top: top as u32, logits: shifted }
    }
}

/// The most likely token; the first of equals.
pub(super) fn top(logits: &[f32]) -> usize {
    let best = (0..logits.len()).reduce(|best, i| if logits[i] > logits[best] { i } else { best });
    best.unwrap_or_default()
}
