//! Types for a size: of all files of so many bytes, the one with the least expected loss, without calibration
//! data.
//!
//! The mixes of llama-quantize are fixed tables. Here every tensor's type is chosen by measurement instead:
//!
//! ```text
//! loss = Σ sensitivity(tensor) · error(tensor, type)        within the bytes of the target
//! error = Σ(w-ŵ)² / Σw²                                     the relative squared error of the weights
//! ```
//!
//! [`Errors`] are measured with the encoders that write the file. Sensitivities come from a table by role
//! (`roles`), from a file, or from the model itself (`Fit::measure_sensitivities`, feature `llm`).
//! [`Problem::solve`] chooses. The result is a [`Request`] with a type for each tensor, which [`Plan`] and
//! the pipeline take like any other, and which [`recipe`] writes for llama-quantize.
//!
//! The loss is an expectation, not a measurement: a lower loss predicts, but does not guarantee, a lower
//! divergence from the unquantized model. `qmill perplexity --base` measures that.
//!
//! ```no_run
//! use qmill::fit::{Fit, Options, State, Target};
//! use qmill::{Device, gguf::Model, mix::FileType, stream::Request};
//! use std::ops::ControlFlow;
//!
//! let model = Model::open("model-f16.gguf")?;
//! let target = Target::Like(FileType::Q4_K_M);
//! let fit = Fit::new(&model, &Request::new(FileType::Q4_K_M), &Options::new(target))?;
//! let mut state = State::new(&model)?;
//! fit.measure(&mut state, &Device::Cpu, None, &mut |_| ControlFlow::Continue(()))?;
//! let fitted = fit.solve(&state)?;
//! println!("{} bytes, {} of the mix's loss", fitted.plan.file_bytes(), fitted.loss / fitted.mix_loss);
//! # Ok::<(), qmill::Error>(())
//! ```

mod candidates;
mod fitted;
mod gaussian;
mod measure;
#[cfg(feature = "llm")]
mod measured;
#[cfg(feature = "llm")]
mod memory;
mod options;
mod recipe;
mod roles;
mod sensitivity;
mod size;
mod solve;
mod state;
mod tensors;

pub use fitted::{Fitted, FittedTensor};
pub use gaussian::gaussian_error;
pub use measure::{MeasureProgress, lattice, lattices};
#[cfg(feature = "llm")]
pub use measured::Probe;
pub use options::Options;
pub use recipe::recipe;
pub use sensitivity::{Sensitivity, SensitivityRule};
pub use size::Target;
pub use solve::problem::{Candidate, Problem, Totals};
pub use state::{Errors, State};

use crate::gguf::Model;
use crate::stream::{Plan, Request};
use candidates::Types;
use tensors::Tensor;

/// A model and a target, before anything is measured: what may be chosen for each tensor, and the limits.
#[derive(Debug)]
pub struct Fit<'a> {
    model: &'a Model,
    request: Request,
    options: Options,
    /// The plan of the fixed mix that the result is compared with.
    mix: Plan,
    tensors: Vec<Tensor>,
    types: Types,
    max_bytes: u64,
    max_active_bytes: Option<u64>,
    /// Bytes of the header and of tensors that nothing is chosen for.
    fixed_bytes: u64,
    alignment: u32,
}
