//! Types for a size: errors, the solver, and what becomes of a model.

mod errors;
mod measured;
mod solve;
mod types;

use qmill::fit::{Fit, Fitted, Options, State, Target};
use qmill::gguf::Model;
use qmill::mix::FileType;
use qmill::stream::Request;
use qmill::{Device, Result};
use std::ops::ControlFlow;

fn measured(fit: &Fit, model: &Model) -> Result<State> {
    let mut state = State::new(model)?;
    fit.measure(&mut state, &Device::Cpu, None, &mut |_| ControlFlow::Continue(()))?;
    Ok(state)
}

/// Measures, and chooses the types for the target.
fn fitted(model: &Model, request: &Request, options: &Options) -> Result<Fitted> {
    let fit = Fit::new(model, request, options)?;
    fit.solve(&measured(&fit, model)?)
}

fn request() -> Request {
    Request::new(FileType::Q4_K_M)
}

fn like(file_type: FileType) -> Options {
    Options::new(Target::Like(file_type))
}
