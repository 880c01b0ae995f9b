//! Perplexity: `exp(mean of -ln p)`, with p the probability that the model gave each next token of a text.

/// The perplexity of a text so far.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Perplexity {
    tokens: u64,
    sum: f64,
    squares: f64,
}

impl Perplexity {
    /// Adds the next token of the text and the logits that the model gave before it, one for each token of
    /// the vocabulary.
    ///
    /// # Panics
    ///
    /// If `token` has no logit.
    pub fn add(&mut self, logits: &[f32], token: u32) {
        self.add_surprise(-f64::from(logits[token as usize]) + log_sum(logits));
    }

    /// Adds a token by its -ln p.
    pub(super) fn add_surprise(&mut self, surprise: f64) {
        self.tokens += 1;
        self.sum += surprise;
        self.squares += surprise * surprise;
    }

    /// Number of predicted tokens.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The perplexity; NaN before the first token.
    pub fn value(&self) -> f64 {
        (self.sum / self.tokens as f64).exp()
    }

    /// The standard error, from the variance of -ln p, with tokens assumed to be independent.
    pub fn error(&self) -> f64 {
        let mean = self.sum / self.tokens as f64;
        let variance = self.squares / self.tokens as f64 - mean * mean;
        (variance.max(0.0) / (self.tokens as f64 - 1.0)).sqrt() * self.value()
    }
}

/// `ln Σ exp(logit)`.
pub(super) fn log_sum(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from((logit - largest).exp())).sum();
    f64::from(largest) + sum.ln()
}
