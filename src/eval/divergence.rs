//! How far the predictions of a model are from those of a base, such as the model before it was quantized.
//!
//! The measures are those of llama-perplexity. For each position in a text, with p the probabilities of the
//! base and q those of the model over all tokens:
//! - the Kullback-Leibler divergence `Σ p·ln(p/q)`, without tokens with ln p ≤ -16,
//! - whether both have the same most likely token,
//! - `q - p` of the text's next token.
//!
//! The logits of the base are rounded to f16 after their largest is subtracted, as [`BaseLogits`] keeps
//! them, and p is the softmax of these. That moves ln p by at most 2⁻¹² of its distance from the largest,
//! with either sign; the mean divergence of a model from itself becomes about 10⁻⁷ instead of 0. `q - p` and
//! the most likely token are of the exact logits.
//!
//! [`BaseLogits`]: super::BaseLogits

use super::Perplexity;
use super::perplexity::log_sum;
use super::position::{Position, top};

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
    /// The mean divergence of each chunk that ended.
    chunk_means: Vec<f64>,
    /// Positions in chunks that ended.
    in_chunks: usize,
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
        self.add_position(&Position::of(base, token), model, token);
    }

    /// [`add`](Self::add) with the base's logits as they are kept.
    pub(super) fn add_position(&mut self, base: &Position, model: &[f32], token: u32) {
        assert_eq!(base.logits.len(), model.len(), "two models of one vocabulary");
        let (base_sum, model_sum) = (log_sum(&base.logits), log_sum(model));
        let divergence = base.logits.iter().zip(model).map(|(&base, &model)| {
            let (ln_p, ln_q) = (f64::from(base) - base_sum, f64::from(model) - model_sum);
            if ln_p > MIN_LN_P { f64::from((ln_p as f32).exp()) * (ln_p - ln_q) } else { 0.0 }
        });
        self.divergences.push(divergence.sum());
        self.same_top += u64::from(base.top as usize == top(model));
        let ln_p = base.ln_p;
        let ln_q = f64::from(model[token as usize]) - model_sum;
        self.base.add_surprise(-ln_p);
        self.difference_squares += (ln_q.exp() - ln_p.exp()).powi(2);
        self.log_ratios += ln_p - ln_q;
        self.log_ratio_squares += (ln_p - ln_q).powi(2);
    }

    /// Ends a chunk of the text: the positions since the last end are one sample of the mean by chunk.
    pub fn end_chunk(&mut self) {
        let chunk = &self.divergences[self.in_chunks..];
        self.chunk_means.push(chunk.iter().sum::<f64>() / chunk.len() as f64);
        self.in_chunks = self.divergences.len();
    }

    /// The mean divergence of each chunk, in nats.
    pub fn chunk_means(&self) -> &[f64] {
        &self.chunk_means
    }

    /// The mean over the chunks, and its standard error with chunks assumed to be independent.
    ///
    /// Positions of a chunk share what they follow, so this error is the honest one. It is NaN for fewer than
    /// 2 chunks.
    pub fn by_chunk(&self) -> Mean {
        let n = self.chunk_means.len() as f64;
        let value = self.chunk_means.iter().sum::<f64>() / n;
        let squares: f64 = self.chunk_means.iter().map(|mean| (mean - value).powi(2)).sum();
        Mean { value, error: if n < 2.0 { f64::NAN } else { (squares / (n - 1.0) / n).sqrt() } }
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

/// The ratio of two models' mean divergences on the same chunks, `Σa / Σb`, and its standard error by the
/// jackknife over chunks.
///
/// What makes a chunk hard is hard for both, and cancels: the error is far smaller than the errors of the two
/// means suggest. With n chunks and `rᵢ` the ratio without chunk i, it is `√((n-1)/n · Σ(rᵢ - mean r)²)`, and
/// NaN for fewer than 2 chunks or for different numbers of them.
pub fn divergence_ratio(a: &[f64], b: &[f64]) -> Mean {
    let (all_a, all_b): (f64, f64) = (a.iter().sum(), b.iter().sum());
    let value = all_a / all_b;
    if a.len() != b.len() || a.len() < 2 {
        return Mean { value: if a.len() == b.len() { value } else { f64::NAN }, error: f64::NAN };
    }
    let without: Vec<f64> = a.iter().zip(b).map(|(a, b)| (all_a - a) / (all_b - b)).collect();
    let n = without.len() as f64;
    let mean = without.iter().sum::<f64>() / n;
    let squares: f64 = without.iter().map(|ratio| (ratio - mean).powi(2)).sum();
    Mean { value, error: ((n - 1.0) / n * squares).sqrt() }
}
