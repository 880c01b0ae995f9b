//! How to load a model.

use super::config::Config;
use super::kv_cache::CacheFormats;
use super::steps::Slot;
use crate::gpu::Precision;
use crate::mix::FileType;
use crate::stream::Request;
use crate::threads::Threads;
use crate::{Device, Error, Format, Result};

/// Tokens of the context by default, if the model was trained for as many.
const DEFAULT_CONTEXT: usize = 4096;

/// How to load a model: [`LoadOptions::default`], changed by the methods that begin with `with_`, or field by
/// field.
///
/// ```
/// # use qmill::llm::LoadOptions;
/// let options = LoadOptions::default().with_context(1000).with_threads(4);
/// assert_eq!(options.context, Some(1000));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Where the model runs; by default on the CPU.
    pub device: Device,
    /// Quantizes the weights while they are loaded, to what a file of this request would hold. Of a request,
    /// only what decides the formats is used.
    pub quantize: Option<Request>,
    /// Tokens that a session has room for; by default 4096, or what the model was trained for if that is
    /// less.
    pub context: Option<usize>,
    /// The format of keys in the KV cache: `F16` (the default) or `F32`.
    pub cache_keys: Format,
    /// The format of values in the KV cache: `F16` (the default) or `F32`.
    pub cache_values: Format,
    /// How exactly products take activations; by default as int8, also on the CPU. `Exact` on the CPU is the
    /// reference, which is slow.
    pub precision: Precision,
    /// Most tokens that go through the model together; by default 512. A session on a GPU allocates memory
    /// for as many.
    pub batch: usize,
    /// Threads that the CPU computes with; by default as many as the machine runs at once.
    pub threads: Option<usize>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            quantize: None,
            context: None,
            cache_keys: Format::F16,
            cache_values: Format::F16,
            precision: Precision::Int8,
            batch: 512,
            threads: None,
        }
    }
}

impl LoadOptions {
    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// Sets [`quantize`](Self::quantize) to a file type and nothing else.
    #[must_use]
    pub fn with_quantize(self, quantize: impl Into<Option<FileType>>) -> Self {
        Self { quantize: quantize.into().map(Request::new), ..self }
    }

    /// Sets [`quantize`](Self::quantize).
    #[must_use]
    pub fn with_quantize_request(self, request: Request) -> Self {
        Self { quantize: Some(request), ..self }
    }

    /// Sets [`context`](Self::context).
    #[must_use]
    pub fn with_context(self, context: impl Into<Option<usize>>) -> Self {
        Self { context: context.into(), ..self }
    }

    /// Sets [`cache_keys`](Self::cache_keys).
    #[must_use]
    pub fn with_cache_keys(self, cache_keys: Format) -> Self {
        Self { cache_keys, ..self }
    }

    /// Sets [`cache_values`](Self::cache_values).
    #[must_use]
    pub fn with_cache_values(self, cache_values: Format) -> Self {
        Self { cache_values, ..self }
    }

    /// Sets [`precision`](Self::precision).
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Sets [`batch`](Self::batch).
    #[must_use]
    pub fn with_batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Sets [`threads`](Self::threads).
    #[must_use]
    pub fn with_threads(self, threads: impl Into<Option<usize>>) -> Self {
        Self { threads: threads.into(), ..self }
    }

    /// Bytes that a session of a model needs beside the weights: the KV cache for the whole context, and the
    /// work buffers of a batch, with what a GPU makes of activations (int8 and f16).
    ///
    /// The cache is exact, the rest an upper estimate. Fails where [`Model::load`](super::Model::load) would
    /// for these options.
    pub fn session_bytes(&self, config: &Config) -> Result<u64> {
        let sessions = self.sessions(config)?;
        let widths = || Slot::ALL.into_iter().filter(|&slot| slot != Slot::Logits);
        let widths = || widths().map(|slot| slot.width(config) as u64);
        let cache: u64 = sessions.cache.layer_bytes(config, sessions.context).iter().sum();
        let batch = sessions.batch.min(sessions.context) as u64;
        let widest = widths().max().unwrap_or(0);
        // Of each float of a slot: f32, and int8 with its share of a scale. Of the widest slot once more: f32
        // that are copied to columns, f32 sums of slices, and f16 for matrix units.
        let activations = batch * (widths().sum::<u64>() * 21 / 4 + widest * 10);
        let rope = 2 * 4 * batch * config.rope.dimensions as u64;
        let logits = 2 * 4 * config.vocabulary as u64;
        Ok(config.layers as u64 * cache + activations + rope + logits)
    }

    /// What these options say of sessions.
    ///
    /// Fails with [`Error::Number`] for a context or a batch of no tokens and for no threads, and with
    /// [`Error::Unsupported`] for a cache in another format.
    pub(super) fn sessions(&self, config: &Config) -> Result<SessionOptions> {
        let cache = CacheFormats { keys: self.cache_keys, values: self.cache_values };
        cache.check()?;
        let context = self.context.unwrap_or(DEFAULT_CONTEXT.min(config.trained_context));
        let counts = [
            ("the context", context),
            ("the tokens of a batch", self.batch),
            ("the number of threads", self.threads.unwrap_or(1)),
        ];
        for (what, count) in counts {
            if count == 0 || u32::try_from(count).is_err() {
                let needed = format!("1 to {}", u32::MAX);
                return Err(Error::Number { what, needed, found: count as u64 });
            }
        }
        let (precision, batch, threads) = (self.precision, self.batch, Threads::new(self.threads));
        Ok(SessionOptions { context, cache, precision, batch, threads })
    }
}

/// What sessions of a model have in common.
#[derive(Clone, Debug)]
pub(super) struct SessionOptions {
    /// Tokens that a session has room for.
    pub(super) context: usize,
    pub(super) cache: CacheFormats,
    pub(super) precision: Precision,
    /// Most tokens that go through the model together.
    pub(super) batch: usize,
    /// Threads of the CPU.
    pub(super) threads: Threads,
}
