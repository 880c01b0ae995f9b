//! How far the predictions of a model are from those of a base, such as the model before it was quantized.
//!
//! The measures are those of llama-perplexity. For each position in a text, with p the probabilities of the
//! base and q those of the model over all tokens:
//! - the Kullback-Leibler divergence `Σ p·ln(p/q)`, without tokens with ln p ≤ -16,
//! - whether both have the same most likely token,
//! - `q - p` of the text's next token.

use super::Perplexity;
use super::perplexity::log_sum;

/// Only tokens with ln p above this count.
const MIN_LN_P: f64 = -16.0;

/// The divergence of a model from a base over the positions of a text so far.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Divergence {
    base: Perplexity,
    /// The divergence at each position.
    divergences: Vec<f64>,
    same_top: u64,
    difference_squares: f64,
    /// The sum of ln(p/q) of the text's next tokens.
    log_ratios: f64,
    log_ratio_squares: f64,
}

/// A mean and its standard error, with positions assumed to be independent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

impl Mean {
    fn of(sum: f64, squares: f64, count: f64) -> Self {
        let value = sum / count;
        let variance = (squares / count - value * value).max(0.0);
        Self { value, error: (variance / (count - 1.0)).sqrt() }
    }
}

impl Divergence {
    /// Adds a position of the text: the logits of both models, and the next token.
    ///
    /// # Panics
    ///
    /// If the slices differ in length, or `token` has no logit.
    pub fn add(&mut self, base: &[f32], model: &[f32], token: u32) {
        assert_eq!(base.len(), model.len(), "two models of one vocabulary");
        let (base_sum, model_sum) = (log_sum(base), log_sum(model));
        let divergence = base.iter().zip(model).map(|(&base, &model)| {
            let (ln_p, ln_q) = (f64::from(base) - base_sum, f64::from(model) - model_sum);
            if ln_p > MIN_LN_P { f64::from((ln_p as f32).exp()) * (ln_p - ln_q) } else { 0.0 }
        });
        self.divergences.push(divergence.sum());
        self.same_top += u64::from(top(base) == top(model));
        let ln_p = f64::from(base[token as usize]) - base_sum;
        let ln_q = f64::from(model[token as usize]) - model_sum;
        self.base.add_surprise(-ln_p);
        self.difference_squares += (ln_q.exp() - ln_p.exp()).powi(2);
        self.log_ratios += ln_p - ln_q;
        self.log_ratio_squares += (ln_p - ln_q).powi(2);
    }

    /// The perplexity of the base.
    pub fn base(&self) -> &Perplexity {
        &self.base
    }

    /// The logarithm of the ratio of the model's perplexity to the base's.
    pub fn log_ratio(&self) -> Mean {
        Mean::of(self.log_ratios, self.log_ratio_squares, self.count())
    }

    /// The mean divergence in nats.
    pub fn mean(&self) -> Mean {
        let squares = self.divergences.iter().map(|x| x * x).sum();
        Mean::of(self.divergences.iter().sum(), squares, self.count())
    }

    /// The divergence that this share of all positions, 0 to 1, does not exceed, by linear interpolation.
    ///
    /// Sorts all positions. NaN before the first position.
    pub fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.divergences.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let rank = share.clamp(0.0, 1.0) * last as f64;
        let (below, fraction) = (rank.floor() as usize, rank.fract());
        sorted[below] + fraction * (sorted[(below + 1).min(last)] - sorted[below])
    }

    /// The share of positions at which both have the same most likely token.
    pub fn same_top(&self) -> Mean {
        Mean::of(self.same_top as f64, self.same_top as f64, self.count())
    }

    /// The root mean square of `q - p` of the text's next tokens.
    pub fn rms_difference(&self) -> f64 {
        (self.difference_squares / self.count()).sqrt()
    }

    fn count(&self) -> f64 {
        self.divergences.len() as f64
    }
}

/// The most likely token; the first of equals.
fn top(logits: &[f32]) -> usize {
    let best = (0..logits.len()).reduce(|best, i| if logits[i] > logits[best] { i } else { best });
    best.unwrap_or_default()
}
