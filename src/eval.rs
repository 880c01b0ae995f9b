//! What quantizing costs: the difference between the weights of two models, and between their predictions.

#[cfg(feature = "llm")]
mod base_logits;
mod distortion;
#[cfg(feature = "llm")]
mod divergence;
#[cfg(feature = "llm")]
mod perplexity;
#[cfg(feature = "llm")]
mod position;
#[cfg(feature = "llm")]
mod predict;
#[cfg(feature = "llm")]
mod prediction;
#[cfg(feature = "llm")]
mod walk;

#[cfg(feature = "llm")]
pub use base_logits::{BaseKey, BaseLogits};
#[cfg(not(target_arch = "wasm32"))]
pub use distortion::planned_distortion;
pub use distortion::{Comparison, Distortion, Mismatch, TensorDistortion, distortion};
#[cfg(feature = "llm")]
pub use divergence::{Divergence, Mean, divergence_ratio};
#[cfg(feature = "llm")]
pub use perplexity::Perplexity;
#[cfg(feature = "llm")]
pub use predict::{Base, perplexity};
#[cfg(feature = "llm")]
pub use prediction::Prediction;
#[cfg(feature = "llm")]
pub use walk::Chunks;
