//! The types that a report has rows of.

use crate::fit::{Fit, Options, State, Target};
use crate::gguf::Model;
use crate::mix::FileType;
use crate::stream::Request;
use crate::{Device, Error, Result};
use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

/// A type that a model is quantized to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A file type: `Q4_K_M`.
    Mix(FileType),
    /// Types chosen by their errors for the size of a file type: `like:Q4_K_M`.
    Like(FileType),
}

/// What begins the name of a [`Kind::Like`].
const LIKE: &str = "like:";

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.get(..LIKE.len()) {
            Some(start) if start.eq_ignore_ascii_case(LIKE) => Ok(Self::Like(name[LIKE.len()..].parse()?)),
            _ => Ok(Self::Mix(name.parse()?)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mix(file_type) => f.pad(file_type.name()),
            Self::Like(file_type) => f.pad(&format!("{LIKE}{file_type}")),
        }
    }
}

/// The request that makes this type of `model`. For [`Kind::Like`] measures on `device` the errors that
/// `state` lacks.
///
/// Fails with the errors of [`Fit::new`], [`Fit::measure`] and [`Fit::solve`].
pub fn request_of(
    kind: Kind,
    model: &Model,
    device: &Device,
    allow_requantize: bool,
    state: &mut State,
) -> Result<Request> {
    match kind {
        Kind::Mix(file_type) => Ok(Request::new(file_type).with_allow_requantize(allow_requantize)),
        Kind::Like(file_type) => {
            let request = Request::new(file_type).with_allow_requantize(allow_requantize);
            let fit = Fit::new(model, &request, &Options::new(Target::Like(file_type)))?;
            fit.measure(state, device, None, &mut |_| ControlFlow::Continue(()))?;
            Ok(fit.solve(state)?.request)
        }
    }
}
