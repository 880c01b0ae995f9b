//! A loaded model: its shape, its steps, and its weights on a device.

use super::config::Config;
use super::graph::{Graph, TensorSpec};
use super::options::LoadOptions;
use super::progress::Progress;
use super::reader::Reader;
use super::rope::{ROPE_DIVISORS, Rotations};
use super::shared::Shared;
use crate::gguf::{self, Metadata};
use crate::{Device, Result};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// A loaded model. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) shared: Arc<Shared>,
}

impl Model {
    /// Loads the GGUF file at `path`, and the other shards if it is the first of a split model.
    ///
    /// Fails with the errors of [`gguf::Model::open`] and [`Config::new`]; with
    /// [`Error::MissingTensor`](crate::Error::MissingTensor),
    /// [`Error::TensorShape`](crate::Error::TensorShape) and
    /// [`Error::Unsupported`](crate::Error::Unsupported) where the tensors are not those of the architecture;
    /// with [`Error::Number`](crate::Error::Number) for a context or a batch of no tokens, and for no
    /// threads; with the errors of [`stream::Plan::new`](crate::stream::Plan::new) where it quantizes; and
    /// with errors of the device.
    pub fn load(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Self> {
        Self::load_with(path, options, &mut |_| ControlFlow::Continue(()))
    }

    /// [`Model::load`] with progress in bytes of the tensors.
    ///
    /// Calls `progress` at the start and at least once for each 16 MiB. If it returns [`ControlFlow::Break`],
    /// loading fails with [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn load_with(
        path: impl AsRef<Path>,
        options: &LoadOptions,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self> {
        Self::from_gguf_with(&gguf::Model::open(path)?, options, progress)
    }

    /// [`Model::load`] from an open file.
    pub fn from_gguf(file: &gguf::Model, options: &LoadOptions) -> Result<Self> {
        Self::from_gguf_with(file, options, &mut |_| ControlFlow::Continue(()))
    }

    /// [`Model::load_with`] from an open file.
    pub fn from_gguf_with(
        file: &gguf::Model,
        options: &LoadOptions,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self> {
        let config = Config::new(file)?;
        let sessions = options.sessions(&config)?;
        let graph = Graph::new(&config, &|tensor| file.tensor(tensor).is_some());
        let mut reader = Reader::new(file, &options.device, options.quantize.as_ref(), progress)?;
        reader.check_all_used(&graph, config.rope.divisors)?;
        let divisors = if config.rope.divisors {
            let spec = TensorSpec::new(ROPE_DIVISORS, &[config.rope.dimensions / 2]);
            Some(reader.floats(&[spec])?)
        } else {
            None
        };
        let windowed_base = config.window.as_ref().map(|window| window.rope_base);
        let shared = Shared {
            rotations: Rotations::new(&config.rope, windowed_base, divisors.as_deref()),
            warnings: [config.warnings(), &reader.warnings()].concat(),
            weights: reader.load(&graph, &options.device)?,
            sessions,
            fused: false,
            software_adapter: match &options.device {
                Device::Gpu(gpu) => gpu.is_software_adapter(),
                Device::Cpu => true,
            },
            device: options.device.clone(),
            metadata: Arc::new(file.metadata().clone()),
            file_bytes: file.tensors().map(|tensor| tensor.info.bytes()).sum(),
            parameters: file.tensors().map(|tensor| tensor.info.weights()).sum(),
            config,
            graph,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The same weights with other options for sessions: `context`, `cache_keys`, `cache_values`,
    /// `precision`, `batch` and `threads` of `options`.
    ///
    /// Loads nothing. Fails with [`Error::Number`](crate::Error::Number) and
    /// [`Error::Unsupported`](crate::Error::Unsupported) where [`Model::load`] would for these.
    pub fn with_sessions(&self, options: &LoadOptions) -> Result<Self> {
        let sessions = options.sessions(self.config())?;
        Ok(Self { shared: Arc::new(Shared { sessions, ..Shared::clone(&self.shared) }) })
    }

    /// The same model with the kernels for an adapter that computes on the CPU, or with those for a GPU,
    /// whatever the adapter is.
    #[doc(hidden)]
    #[must_use]
    pub fn with_kernels_for(&self, software_adapter: bool) -> Self {
        Self { shared: Arc::new(Shared { software_adapter, ..Shared::clone(&self.shared) }) }
    }

    /// The same model with kernels that do several steps of a single token at once on a GPU, or without them,
    /// as by default: they have not been measured yet.
    #[doc(hidden)]
    #[must_use]
    pub fn with_fused_kernels(&self, fused: bool) -> Self {
        Self { shared: Arc::new(Shared { fused, ..Shared::clone(&self.shared) }) }
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// What the file says and the model ignores, a sentence each: keys that have no effect in its
    /// architecture, as in libllama, and keys and tensors for another purpose.
    ///
    /// The library prints nothing; an app shows these to whoever chose the file.
    pub fn warnings(&self) -> &[String] {
        &self.shared.warnings
    }

    /// The metadata of the file, which includes the vocabulary.
    pub fn metadata(&self) -> &Metadata {
        &self.shared.metadata
    }

    /// The device that the model runs on.
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// Bytes of the tensors in the file.
    pub fn file_bytes(&self) -> u64 {
        self.shared.file_bytes
    }

    /// Bytes of the weights in the memory of the GPU; on the CPU, of the host.
    pub fn device_bytes(&self) -> u64 {
        self.shared.weights.bytes()
    }

    /// Weights in all tensors.
    pub fn parameters(&self) -> u64 {
        self.shared.parameters
    }

    /// Tokens that a session has room for.
    pub fn context(&self) -> usize {
        self.shared.sessions.context
    }

    /// Bytes of a session's KV cache when the context is full.
    pub fn cache_bytes(&self) -> u64 {
        let Shared { config, sessions, .. } = &*self.shared;
        let layer_bytes = sessions.cache.layer_bytes(config, sessions.context);
        config.layers as u64 * layer_bytes.iter().sum::<u64>()
    }
}
