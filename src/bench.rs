//! Measures the speed of operations and models, after checking their results.
//!
//! A [`Case`] is an operation on a format and a shape. [`Case::measure`] generates data, compares a sample of
//! the result with the CPU reference, and times the operation on weights that are in no cache: weights rotate
//! through copies, one more than fit the cache. [`Peaks`] are the device's own limits, measured by kernels
//! that do one thing only. [`time_ops`] times any other operations of an app. With the feature `llm`,
//! `ModelCase` measures models as llama-bench does.
//!
//! ```
//! use qmill::bench::{Case, Operation, Settings};
//! use qmill::{Device, Format};
//!
//! let case = Case { operation: Operation::Dequantize, format: Format::Q4_K, rows: 16, cols: 512, batch: 1 };
//! let settings = Settings::DEFAULT.with_repetitions(1);
//! let measured = case.measure(&Device::Cpu, case.variants(&Device::Cpu)[0], &settings)?;
//! println!("{:.2} GB/s", measured.bytes as f64 / measured.timing.best_clock().median() / 1e9);
//! # Ok::<(), qmill::Error>(())
//! ```

mod case;
mod conversion;
mod cpu_conversion;
mod cpu_product;
mod data;
mod measure;
#[cfg(feature = "llm")]
mod model;
mod peaks;
mod product;
mod read;
mod timing;
mod tune;

pub use case::{Case, Operation};
pub use measure::Measurement;
#[cfg(feature = "llm")]
pub use model::{ModelCase, ModelSettings, ModelTest, ModelTiming, Stage, measure_models_in_turns};
#[doc(hidden)]
pub use peaks::shaders;
pub use peaks::{Moved, Peaks, Shares};
pub use product::Variant;
pub use timing::{Accuracy, Samples, Settings, Timing, time_ops, time_work};
pub use tune::{Effort, Ranking, effort, rank};
