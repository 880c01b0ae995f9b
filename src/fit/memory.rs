//! How large a file may be for a model to run in a memory.

use super::Target;
use crate::error::FitFault;
use crate::gguf::Model;
use crate::llm::{Config, LoadOptions};
use crate::{Error, Result};

impl Target {
    /// The largest file with which weights, KV cache and work buffers fit `memory_bytes`, when the model is
    /// loaded with `load` ([`LoadOptions::session_bytes`]).
    ///
    /// Fails with [`FitFault::NotRun`] for a model that `llm` does not run, and with [`FitFault::Memory`]
    /// where cache and buffers alone do not fit.
    pub fn in_memory(memory_bytes: u64, model: &Model, load: &LoadOptions) -> Result<Self> {
        let config =
            Config::new(model).map_err(|error| Error::Fit(FitFault::NotRun { why: error.to_string() }))?;
        let needed_bytes = load.session_bytes(&config)?;
        if needed_bytes >= memory_bytes {
            let context = load.context.unwrap_or(config.trained_context);
            return Err(Error::Fit(FitFault::Memory { memory_bytes, needed_bytes, context }));
        }
        Ok(Self::Bytes(memory_bytes - needed_bytes))
    }
}
