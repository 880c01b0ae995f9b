//! What quantizing cost: how far the weights of one model are from those of another, and how much worse it predicts.

mod distortion;
#[cfg(feature = "llm")]
mod divergence;
#[cfg(feature = "llm")]
mod perplexity;

pub use distortion::{Comparison, Distortion, Mismatch, TensorDistortion, distortion};
#[cfg(feature = "llm")]
pub use divergence::{Divergence, Mean};
#[cfg(feature = "llm")]
pub use perplexity::{Chunks, Perplexity, Prediction, perplexity};
