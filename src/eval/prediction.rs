//! The measures of a text.

use super::{Divergence, Perplexity};

/// The measures after some chunks.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Prediction {
    /// Chunks evaluated so far.
    pub chunks: usize,
    /// Chunks to evaluate.
    pub total_chunks: usize,
    /// The perplexity of the model.
    pub perplexity: Perplexity,
    /// The divergence from the base, if there is one.
    pub divergence: Option<Divergence>,
}
