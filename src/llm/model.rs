//! A model: its shape, its steps, and its weights where they are multiplied by.

use super::config::Config;
use super::graph::{Graph, ROPE_DIVISORS, ROPES, TensorSpec};
use super::kv_cache::CacheFormats;
use super::session::Progress;
use super::weights::{Reader, Weights};
use crate::gguf::{self, Metadata};
use crate::gpu::Precision;
use crate::mix::FileType;
use crate::{Device, Error, Format, Result};
use std::f64::consts::PI;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use wgpu::DeviceType;

/// Tokens of the context unless an app says otherwise, if the model was trained for as many.
const DEFAULT_CONTEXT: usize = 4096;

/// How often a pair turns in the original context of YaRN to keep its angle, and to be scaled: libllama's
/// numbers for all architectures here.
const YARN_FAST_TURNS: f64 = 32.0;
const YARN_SLOW_TURNS: f64 = 1.0;

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
    /// Where it runs; by default on the CPU.
    pub device: Device,
    /// Quantizes the weights while they are loaded, to what a file of this type would hold.
    pub quantize: Option<FileType>,
    /// Tokens that a session has room for; by default 4096, or what the model was trained for if that is less.
    pub context: Option<usize>,
    /// The format of keys in sessions: `F16` (the default) or `F32`.
    pub cache_keys: Format,
    /// And of values.
    pub cache_values: Format,
    /// How exactly activations enter products on a GPU; by default in eight bits. The CPU takes them as they are.
    pub precision: Precision,
    /// Most tokens that go through the model together; by default 512. On a GPU there is memory for so many.
    pub batch: usize,
    /// Threads that a CPU computes with; by default as many as the machine has.
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
    /// These, on another [`device`](Self::device).
    #[must_use]
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// These, with weights of another file type: [`quantize`](Self::quantize).
    #[must_use]
    pub fn with_quantize(self, quantize: impl Into<Option<FileType>>) -> Self {
        Self { quantize: quantize.into(), ..self }
    }

    /// These, with room for other many tokens: [`context`](Self::context).
    #[must_use]
    pub fn with_context(self, context: impl Into<Option<usize>>) -> Self {
        Self { context: context.into(), ..self }
    }

    /// These, with another format of keys: [`cache_keys`](Self::cache_keys).
    #[must_use]
    pub fn with_cache_keys(self, cache_keys: Format) -> Self {
        Self { cache_keys, ..self }
    }

    /// These, with another format of values: [`cache_values`](Self::cache_values).
    #[must_use]
    pub fn with_cache_values(self, cache_values: Format) -> Self {
        Self { cache_values, ..self }
    }

    /// These, with another [`precision`](Self::precision).
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// These, with another [`batch`](Self::batch).
    #[must_use]
    pub fn with_batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// These, with another number of [`threads`](Self::threads).
    #[must_use]
    pub fn with_threads(self, threads: impl Into<Option<usize>>) -> Self {
        Self { threads: threads.into(), ..self }
    }
}

/// What a rope does to pairs.
#[derive(Clone, Default, Debug)]
struct Rotation {
    /// The angle from one position to the next, of each pair.
    frequencies: Vec<f64>,
    /// What cosines and sines are multiplied by.
    magnitude: f64,
}

/// A model that is loaded. Cheap to clone; clones share all.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) shared: Arc<Shared>,
}

#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) graph: Graph,
    pub(super) weights: Arc<Weights>,
    ropes: [Rotation; ROPES],
    warnings: Vec<String>,
    pub(super) context: usize,
    pub(super) cache: CacheFormats,
    pub(super) precision: Precision,
    pub(super) batch: usize,
    pub(super) threads: Option<usize>,
    /// Whether kernels are those for an adapter that computes on the CPU.
    pub(super) on_cpu: bool,
    device: Device,
    metadata: Arc<Metadata>,
    file_bytes: u64,
    parameters: u64,
}

impl Model {
    /// Loads the GGUF file at `path`, and the others beside it if it is the first of a split model.
    ///
    /// Fails with what [`gguf::Model::open`] and [`Config::new`] fail with; with [`Error::MissingTensor`],
    /// [`Error::TensorShape`] and [`Error::Unsupported`] where the tensors are not those of the architecture; with
    /// [`Error::Number`] for a context or a batch of no tokens, and for no threads; with the errors of [`stream::Plan::new`](crate::stream::Plan::new)
    /// where it quantizes; and with what the device reports.
    pub fn load(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Self> {
        Self::load_with(path, options, &mut |_| ControlFlow::Continue(()))
    }

    /// The same; `progress` sees how many bytes of the tensors are read, of all, and may break off, which
    /// fails with [`Error::Cancelled`]. It is called at the start, and at least once for each 16 MiB.
    pub fn load_with(
        path: impl AsRef<Path>,
        options: &LoadOptions,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self> {
        Self::from_gguf_with(&gguf::Model::open(path)?, options, progress)
    }

    /// Loads a model from a file that is open; the same otherwise.
    pub fn from_gguf(file: &gguf::Model, options: &LoadOptions) -> Result<Self> {
        Self::from_gguf_with(file, options, &mut |_| ControlFlow::Continue(()))
    }

    /// Loads a model from a file that is open, as [`Model::load_with`] does.
    pub fn from_gguf_with(
        file: &gguf::Model,
        options: &LoadOptions,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self> {
        let config = Config::new(file)?;
        let context = check_sessions(options, &config)?;
        let graph = Graph::new(&config, &|tensor| file.tensor(tensor).is_some());
        let mut reader = Reader::new(file, &options.device, options.quantize, progress)?;
        reader.check_all_used(&graph, config.rope.divisors)?;
        let divisors = if config.rope.divisors {
            let shape = vec![config.rope.dimensions as u64 / 2];
            let name = ROPE_DIVISORS.to_owned();
            Some(reader.floats(&[TensorSpec { name, shape, padding: None }])?)
        } else {
            None
        };
        let shared = Shared {
            ropes: rotations(&config, divisors.as_deref()),
            warnings: [config.warnings(), &reader.warnings()].concat(),
            weights: Arc::new(reader.load(&graph, &options.device)?),
            context,
            cache: cache_formats(options),
            precision: options.precision,
            batch: options.batch,
            threads: options.threads,
            on_cpu: match &options.device {
                Device::Gpu(gpu) => gpu.device().adapter_info().device_type == DeviceType::Cpu,
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

    /// The same weights for other sessions: `context`, `cache_keys`, `cache_values`, `precision`, `batch` and `threads` are those of `options`.
    ///
    /// Loads nothing. Fails with [`Error::Number`] and [`Error::Unsupported`] where [`Model::load`] would for these.
    pub fn with_sessions(&self, options: &LoadOptions) -> Result<Self> {
        let shared = Shared {
            context: check_sessions(options, self.config())?,
            cache: cache_formats(options),
            precision: options.precision,
            batch: options.batch,
            threads: options.threads,
            ..Shared::clone(&self.shared)
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The same with kernels for an adapter that computes on the CPU, or for another, whatever this one is.
    #[doc(hidden)]
    #[must_use]
    pub fn with_kernels_for(&self, on_cpu: bool) -> Self {
        Self { shared: Arc::new(Shared { on_cpu, ..Shared::clone(&self.shared) }) }
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// What the file says and the model does not follow, a sentence each: a key that its architecture has no
    /// part for, as in libllama, and keys and tensors that are for another purpose. The library prints
    /// nothing; an app shows them to whoever chose the file.
    pub fn warnings(&self) -> &[String] {
        &self.shared.warnings
    }

    /// Keys and values of the file: the vocabulary is among them.
    pub fn metadata(&self) -> &Metadata {
        &self.shared.metadata
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// Bytes of the tensors in the file.
    pub fn file_bytes(&self) -> u64 {
        self.shared.file_bytes
    }

    /// Bytes of the weights where they are multiplied by: in the memory of the GPU, or of the host for the CPU.
    pub fn device_bytes(&self) -> u64 {
        self.shared.weights.bytes()
    }

    /// Weights in all.
    pub fn parameters(&self) -> u64 {
        self.shared.parameters
    }

    /// Tokens that a session has room for.
    pub fn context(&self) -> usize {
        self.shared.context
    }

    /// Bytes of a session's keys and values, when the context is full.
    pub fn cache_bytes(&self) -> u64 {
        let Shared { config, cache, context, .. } = &*self.shared;
        config.layers as u64 * cache.layer_bytes(config, *context).iter().sum::<u64>()
    }
}

impl Shared {
    /// The cosine and the sine of each pair, for `count` tokens from `position` on, for each rope.
    pub(super) fn angles(&self, position: usize, count: usize) -> Vec<Vec<f32>> {
        let angles = |rope: &Rotation| {
            let positions = position..position + count;
            let angles = positions.flat_map(|position| {
                rope.frequencies.iter().map(move |frequency| position as f64 * frequency)
            });
            let turns = angles.flat_map(|angle| [angle.cos(), angle.sin()]);
            turns.map(|x| (rope.magnitude * x) as f32).collect()
        };
        self.ropes.iter().map(angles).collect()
    }
}

fn cache_formats(options: &LoadOptions) -> CacheFormats {
    CacheFormats { keys: options.cache_keys, values: options.cache_values }
}

/// Checks what concerns sessions, and returns how many tokens one has room for.
fn check_sessions(options: &LoadOptions, config: &Config) -> Result<usize> {
    cache_formats(options).check()?;
    let context = options.context.unwrap_or(DEFAULT_CONTEXT.min(config.trained_context));
    let counts = [
        ("the context", context),
        ("the tokens of a batch", options.batch),
        ("the number of threads", options.threads.unwrap_or(1)),
    ];
    for (what, count) in counts {
        if count == 0 || u32::try_from(count).is_err() {
            let needed = format!("1 to {}", u32::MAX);
            return Err(Error::Number { what, needed, found: count as u64 });
        }
    }
    Ok(context)
}

/// Of the layers without a window, and of those with one; without pairs where there are none.
fn rotations(config: &Config, divisors: Option<&[f32]>) -> [Rotation; ROPES] {
    let rope = &config.rope;
    let dimensions = rope.dimensions as f64;
    let of = |base: f64, scale: f64, magnitude: f64| {
        // The part of the scaling that a pair gets: with YaRN, 0 of pairs that turn fast and 1 of those that
        // turn slowly. `pair_of` is the pair that turns so many times in the original context.
        let scaled = |pair: usize| {
            let Some(yarn) = &rope.yarn else { return 1.0 };
            let pair_of = |turns: f64| {
                let wavelength = yarn.original_context as f64 / (2.0 * PI * turns);
                dimensions * wavelength.ln() / (2.0 * base.ln())
            };
            let low = pair_of(YARN_FAST_TURNS).floor().max(0.0);
            let high = pair_of(YARN_SLOW_TURNS).ceil().min(dimensions - 1.0);
            ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0)
        };
        let frequency = |pair: usize| {
            let divisor = divisors.map_or(1.0, |divisors| f64::from(divisors[pair]));
            let scaled = scaled(pair);
            (scale * scaled + (1.0 - scaled)) * base.powf(-2.0 * pair as f64 / dimensions) / divisor
        };
        Rotation { frequencies: (0..rope.dimensions / 2).map(frequency).collect(), magnitude }
    };
    let factor = 1.0 / rope.scale;
    let stretch = 1.0 + 0.1 * factor.ln();
    // Longer texts make attention flatter, which the magnitude makes up for; positions that are not scaled
    // need none of it.
    let magnitude = |stretch: f64| {
        if rope.yarn.is_some() { stretch * rope.attention_factor } else { rope.attention_factor }
    };
    let windowed =
        config.window.as_ref().map(|window| of(window.rope_base, 1.0, magnitude(stretch.max(1.0) / stretch)));
    [of(rope.base, rope.scale, magnitude(stretch.max(1.0))), windowed.unwrap_or_default()]
}
