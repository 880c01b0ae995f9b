//! What quantizing costs: the difference between the weights of two models, and between their predictions.

mod distortion;
#[cfg(feature = "llm")]
mod divergence;
#[cfg(feature = "llm")]
mod perplexity;
#[cfg(feature = "llm")]
mod prediction;

pub use distortion::{Comparison, Distortion, Mismatch, TensorDistortion, distortion};
#[cfg(feature = "llm")]
pub use divergence::{Divergence, Mean};
#[cfg(feature = "llm")]
pub use perplexity::Perplexity;
#[cfg(feature = "llm")]
pub use prediction::{Chunks, Prediction, perplexity};
