//! What a file says of its model, as numbers that the graph goes by.

use crate::gguf::{Metadata, Model, Value};
use crate::{Error, Result};

/// A model's shape, and the ways in which its architecture differs from others.
#[derive(Clone, PartialEq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part that an architecture has or has not")]
pub struct Config {
    /// `general.architecture`.
    pub architecture: String,
    /// Layers.
    pub layers: usize,
    /// Floats that stand for a token between layers.
    pub width: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values; a group of query heads shares each.
    pub kv_heads: usize,
    /// Floats in a head.
    pub head_width: usize,
    /// Floats in the hidden layer of a feed-forward network that is no expert.
    pub feed_forward: usize,
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Tokens of the longest text that the model was trained for.
    pub trained_context: usize,
    /// What RMS norms add to the mean square.
    pub epsilon: f32,
    /// How positions turn queries and keys.
    pub rope: Rope,
    /// Layers that see only the last tokens.
    pub window: Option<Window>,
    /// What scores are multiplied by before the softmax.
    pub attention_scale: f32,
    /// What embeddings are multiplied by.
    pub embedding_scale: f32,
    /// Of the feed-forward network.
    pub activation: Activation,
    /// The logits `x` become `cap·tanh(x / cap)`.
    pub logit_cap: Option<f32>,
    /// Queries, keys and values have biases.
    pub biases: bool,
    /// Heads of queries and keys are normed.
    pub head_norms: bool,
    /// What attention and feed-forward network give is normed before it is added.
    pub post_norms: bool,
    /// The embedding is the output matrix too.
    pub tied_output: bool,
    /// Feed-forward networks to choose from, in place of one.
    pub experts: Option<Experts>,
}

/// How positions turn queries and keys: pair `i` of a head by `position·scale·base^(-2i / dimensions)`.
#[derive(Clone, PartialEq, Debug)]
pub struct Rope {
    /// Which floats are a pair.
    pub layout: RopeLayout,
    /// Floats of a head that are turned, from its first.
    pub dimensions: usize,
    /// The base of layers that see everything.
    pub base: f64,
    /// What positions are multiplied by in those layers.
    pub scale: f64,
    /// A tensor has a divisor for the frequency of each pair, as in Llama 3.
    pub divisors: bool,
}

/// Which two floats of a head turn together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RopeLayout {
    /// Neighbours: 0 and 1, 2 and 3.
    Neighbours,
    /// One of the first half and its counterpart in the second.
    Halves,
}

/// A sliding window.
#[derive(Clone, PartialEq, Debug)]
pub struct Window {
    /// Tokens that are seen, the own one included.
    pub tokens: usize,
    /// Whether each layer has it.
    pub layers: Vec<bool>,
    /// The base of the rope in layers that have it; positions are not scaled there.
    pub rope_base: f64,
}

/// What the gate of a feed-forward network goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `x/2·(1 + tanh(√(2/π)·(x + 0.044715x³)))`.
    Gelu,
}

/// A mixture of experts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Experts {
    /// Experts in a layer.
    pub count: usize,
    /// How many of them a token goes through.
    pub used: usize,
    /// Floats in the hidden layer of one.
    pub feed_forward: usize,
}

/// What the architectures differ in and files do not say.
struct Architecture {
    name: &'static str,
    layout: RopeLayout,
    /// Whether q, k and v have biases; `None`: if the file has them.
    biases: Option<bool>,
    head_norms: bool,
    /// Gemma's scaled embeddings, post norms, GELU and window.
    is_gemma: bool,
}

const fn architecture(
    name: &'static str,
    layout: RopeLayout,
    biases: Option<bool>,
    head_norms: bool,
) -> Architecture {
    Architecture { name, layout, biases, head_norms, is_gemma: false }
}

const ARCHITECTURES: [Architecture; 5] = [
    architecture("llama", RopeLayout::Neighbours, None, false),
    architecture("qwen2", RopeLayout::Halves, Some(true), false),
    architecture("qwen3", RopeLayout::Halves, Some(false), true),
    architecture("qwen3moe", RopeLayout::Halves, Some(false), true),
    Architecture { is_gemma: true, ..architecture("gemma3", RopeLayout::Halves, Some(false), true) },
];

/// Every so many layers Gemma 3 has one without a window.
const GEMMA_PATTERN: u64 = 6;
/// Layers of the one Gemma 3 that scales its scores by the width of the model.
const GEMMA_27B_LAYERS: usize = 62;

/// Reads keys that start with the architecture's name.
struct Keys<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn missing(&self, key: &str, needed: &'static str) -> Error {
        Error::MetadataKey { key: self.name(key), needed }
    }

    /// The value, of the first layer where it is one for each and all are the same.
    fn value(&self, key: &str) -> Option<Value> {
        let value = self.metadata.get(&self.name(key))?;
        let Some(array) = value.as_array() else { return Some(value.clone()) };
        let first = array.iter().next()?;
        array.iter().all(|other| other == first).then_some(first)
    }

    /// An integer from 1 to 2³¹, which any sum of products of two of them leaves in range.
    fn optional_count(&self, key: &str) -> Result<Option<usize>> {
        if self.metadata.get(&self.name(key)).is_none() {
            return Ok(None);
        }
        let count = self.value(key).and_then(|value| value.as_u64());
        match count.filter(|count| (1..=1 << 31).contains(count)) {
            Some(count) => Ok(Some(count as usize)),
            None => Err(self.missing(key, "an integer from 1 to 2147483648, the same for all layers")),
        }
    }

    fn count(&self, key: &str) -> Result<usize> {
        self.optional_count(key)?.ok_or_else(|| self.missing(key, "an integer"))
    }

    fn optional_float(&self, key: &str) -> Result<Option<f64>> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => match value.as_f64().filter(|x| x.is_finite() && *x >= 0.0) {
                Some(x) => Ok(Some(x)),
                None => Err(self.missing(key, "a float that is not negative")),
            },
        }
    }

    fn str(&self, key: &str) -> Option<&str> {
        self.metadata.str_of(&self.name(key))
    }
}

impl Config {
    /// Reads the metadata of a model and looks which optional tensors it has.
    ///
    /// Fails with [`Error::Unsupported`] for an architecture or a rope scaling that is not known, and with
    /// [`Error::MetadataKey`] where a number is missing or cannot be.
    pub fn new(model: &Model) -> Result<Self> {
        let metadata = model.metadata();
        let name = metadata.str_of("general.architecture").unwrap_or_default();
        let Some(architecture) = ARCHITECTURES.iter().find(|known| known.name == name) else {
            let known = ARCHITECTURES.map(|known| known.name).join(", ");
            return Err(Error::Unsupported { what: "the architecture", found: name.to_owned(), known });
        };
        let keys = Keys { metadata, architecture: name };
        let has = |tensor: &str| model.tensor(tensor).is_some();

        let layers = keys.count("block_count")?;
        let width = keys.count("embedding_length")?;
        let heads = keys.count("attention.head_count")?;
        let kv_heads = keys.optional_count("attention.head_count_kv")?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(keys.missing("attention.head_count_kv", "a divisor of the number of heads"));
        }
        let head_width = keys.optional_count("attention.key_length")?.unwrap_or(width / heads);
        if !head_width.is_multiple_of(4) || head_width == 0 {
            return Err(keys.missing("attention.key_length", "a multiple of 4"));
        }
        if keys.optional_count("attention.value_length")?.is_some_and(|values| values != head_width) {
            return Err(keys.missing("attention.value_length", "the same as attention.key_length"));
        }
        let epsilon = keys
            .optional_float("attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| keys.missing("attention.layer_norm_rms_epsilon", "a float"))?;
        let experts = experts(&keys)?;
        let feed_forward = match experts {
            Some(experts) => experts.feed_forward,
            None => keys.count("feed_forward_length")?,
        };
        let is_gemma_27b = architecture.is_gemma && layers == GEMMA_27B_LAYERS;
        let scored_width = if is_gemma_27b { width / heads } else { head_width };
        let window = if architecture.is_gemma { window(&keys, layers)? } else { None };
        Ok(Self {
            architecture: name.to_owned(),
            layers,
            width,
            heads,
            kv_heads,
            head_width,
            feed_forward,
            vocabulary: vocabulary(model)?,
            trained_context: keys.count("context_length")?,
            epsilon: epsilon as f32,
            rope: rope(&keys, architecture.layout, head_width, has("rope_freqs.weight"))?,
            window,
            attention_scale: 1.0 / (scored_width as f32).sqrt(),
            embedding_scale: if architecture.is_gemma { (width as f32).sqrt() } else { 1.0 },
            activation: if architecture.is_gemma { Activation::Gelu } else { Activation::Silu },
            logit_cap: keys.optional_float("final_logit_softcapping")?.map(|cap| cap as f32),
            biases: architecture.biases.unwrap_or_else(|| has("blk.0.attn_q.bias")),
            head_norms: architecture.head_norms,
            post_norms: architecture.is_gemma,
            tied_output: !has("output.weight"),
            experts,
        })
    }

    /// Floats in the queries of a token.
    pub(super) fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Floats in the keys of a token, and in its values.
    pub(super) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width
    }
}

/// The rows of the embedding.
fn vocabulary(model: &Model) -> Result<usize> {
    let tensor = super::graph::EMBEDDING;
    match model.tensor(tensor) {
        None => Err(Error::MissingTensor { tensor: tensor.to_owned() }),
        Some(embedding) => Ok(embedding.info.rows() as usize),
    }
}

fn rope(keys: &Keys, layout: RopeLayout, head_width: usize, divisors: bool) -> Result<Rope> {
    let dimensions = keys.optional_count("rope.dimension_count")?.unwrap_or(head_width);
    if dimensions > head_width || !dimensions.is_multiple_of(2) {
        return Err(keys.missing("rope.dimension_count", "even and no more than the floats in a head"));
    }
    let factor = keys.optional_float("rope.scaling.factor")?.filter(|&factor| factor > 0.0).unwrap_or(1.0);
    let scale = match keys.str("rope.scaling.type") {
        Some("none") => 1.0,
        None | Some("linear") => 1.0 / factor,
        Some(other) => {
            let known = "none, linear".to_owned();
            return Err(Error::Unsupported { what: "the rope scaling", found: other.to_owned(), known });
        }
    };
    let base = keys.optional_float("rope.freq_base")?.unwrap_or(10_000.0);
    Ok(Rope { layout, dimensions, base, scale, divisors })
}

fn window(keys: &Keys, layers: usize) -> Result<Option<Window>> {
    let Some(tokens) = keys.optional_count("attention.sliding_window")? else { return Ok(None) };
    let pattern = keys.optional_count("attention.sliding_window_pattern")?;
    let pattern = pattern.map_or(GEMMA_PATTERN, |pattern| pattern as u64);
    let layers = (1..=layers as u64).map(|number| number % pattern != 0).collect();
    let rope_base = keys.optional_float("rope.freq_base_swa")?.unwrap_or(10_000.0);
    Ok(Some(Window { tokens, layers, rope_base }))
}

fn experts(keys: &Keys) -> Result<Option<Experts>> {
    // Files of models without experts may say 0.
    if keys.value("expert_count").and_then(|value| value.as_u64()).unwrap_or(0) == 0 {
        return Ok(None);
    }
    let (count, used) = (keys.count("expert_count")?, keys.count("expert_used_count")?);
    if used > count {
        return Err(keys.missing("expert_used_count", "no more than there are experts"));
    }
    let feed_forward = match keys.optional_count("expert_feed_forward_length")? {
        Some(feed_forward) => feed_forward,
        None => keys.count("feed_forward_length")?,
    };
    Ok(Some(Experts { count, used, feed_forward }))
}
