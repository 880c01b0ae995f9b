//! What a file says of its model, as numbers that the graph goes by.

use super::keys::Keys;
use crate::gguf::Model;
use crate::{Error, Result};

/// A model's shape, and the ways in which its architecture differs from others.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
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
    /// Heads of queries and keys are normed.
    pub head_norms: bool,
    /// What attention and feed-forward network give is normed before it is added.
    pub post_norms: bool,
    /// The embedding is the output matrix too.
    pub tied_output: bool,
    /// Feed-forward networks to choose from, in place of one.
    pub experts: Option<Experts>,
    /// Products that biases are added to, where the file has them.
    pub(super) may_have_biases: &'static [&'static str],
    warnings: Vec<String>,
}

/// How positions turn queries and keys: pair `i` of a head by `position·scale·base^(-2i / dimensions)`.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Rope {
    /// Which floats are a pair.
    pub layout: RopeLayout,
    /// Floats of a head that are turned, from its first.
    pub dimensions: usize,
    /// The base of layers that see everything.
    pub base: f64,
    /// What positions are multiplied by in those layers.
    pub scale: f64,
    /// What cosines and sines are multiplied by, whatever the scaling is.
    pub attention_factor: f64,
    /// Pairs that turn fast keep their angle, and only the others are scaled.
    pub yarn: Option<Yarn>,
    /// A tensor has a divisor for the frequency of each pair, as in Llama 3.
    pub divisors: bool,
}

/// YaRN, with the parameters that libllama has for these architectures: pairs that turn 32 times in the
/// original context keep their angle, those that turn once at most are scaled, and those between are scaled
/// in part.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Yarn {
    /// Tokens of the context that the model was trained for before it was extended.
    pub original_context: usize,
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
#[non_exhaustive]
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
    /// Products that may have biases, by the tensors' names without `blk.N.`.
    biases: &'static [&'static str],
    head_norms: bool,
    /// Gemma's scaled embeddings, post norms, GELU and window.
    is_gemma: bool,
}

const fn architecture(
    name: &'static str,
    layout: RopeLayout,
    biases: &'static [&'static str],
    head_norms: bool,
) -> Architecture {
    Architecture { name, layout, biases, head_norms, is_gemma: false }
}

const ARCHITECTURES: [Architecture; 5] = [
    architecture("llama", RopeLayout::Neighbours, LLAMA_BIASES, false),
    architecture("qwen2", RopeLayout::Halves, QWEN2_BIASES, false),
    architecture("qwen3", RopeLayout::Halves, QKV_BIASES, true),
    architecture("qwen3moe", RopeLayout::Halves, QKV_BIASES, true),
    Architecture { is_gemma: true, ..architecture("gemma3", RopeLayout::Halves, QKV_BIASES, true) },
];

/// What libllama takes biases for; a file may have any of them.
const QKV_BIASES: &[&str] = &["attn_q", "attn_k", "attn_v", "attn_qkv"];
const QWEN2_BIASES: &[&str] = &["attn_q", "attn_k", "attn_v", "attn_qkv", "output"];
const LLAMA_BIASES: &[&str] =
    &["attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

/// Every so many layers Gemma 3 has one without a window.
const GEMMA_PATTERN: u64 = 6;
/// Layers of the one Gemma 3 that scales its scores by the width of the model.
const GEMMA_27B_LAYERS: usize = 62;

impl Config {
    /// Reads the metadata of a model and looks which optional tensors it has.
    ///
    /// Fails with [`Error::Unsupported`] for an architecture or a rope scaling that is not known, and for a
    /// key of rope, attention or experts that is unknown; with [`Error::MetadataKey`] where a number is
    /// missing or cannot be; and with [`Error::MissingTensor`] for a file without an embedding, or with fewer
    /// layers than it says. Other keys that are not followed are in [`Self::warnings`].
    pub fn new(model: &Model) -> Result<Self> {
        let metadata = model.metadata();
        let name = metadata.str_of("general.architecture").unwrap_or_default();
        let Some(architecture) = ARCHITECTURES.iter().find(|known| known.name == name) else {
            let known = ARCHITECTURES.map(|known| known.name).join(", ");
            return Err(Error::Unsupported { what: "the architecture", found: name.to_owned(), known });
        };
        let keys = Keys::new(metadata, name);
        let has = |tensor: &str| model.tensor(tensor).is_some();

        let layers = keys.count("block_count")?;
        let width = keys.count("embedding_length")?;
        // Before anything is made for each layer that the file claims to have.
        let last = format!("blk.{}.attn_norm.weight", layers - 1);
        if !has(&last) {
            return Err(Error::MissingTensor { tensor: last });
        }
        let heads = keys.count("attention.head_count")?;
        let kv_heads = keys.optional_count("attention.head_count_kv")?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(keys.missing("attention.head_count_kv", "a divisor of the number of heads"));
        }
        let head_width = keys.optional_count("attention.key_length")?.unwrap_or(width / heads);
        if head_width == 0 {
            return Err(keys.missing("attention.head_count", "at most the floats of a token"));
        }
        for key in ["attention.value_length", "attention.key_length_swa", "attention.value_length_swa"] {
            if keys.optional_count(key)?.is_some_and(|values| values != head_width) {
                return Err(keys.missing(key, "the same as attention.key_length"));
            }
        }
        let epsilon = keys
            .optional_float("attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| keys.missing("attention.layer_norm_rms_epsilon", "a float"))?;
        keys.only("attention.causal", "the attention", &[1.0], "causal models")?;
        keys.only(
            "nextn_predict_layers",
            "a number of layers",
            &[0.0],
            "models without layers that predict further tokens",
        )?;
        let experts = experts(&keys, name == "qwen3moe")?;
        let feed_forward = match experts {
            Some(experts) => experts.feed_forward,
            None => keys.count("feed_forward_length")?,
        };
        let is_gemma_27b = architecture.is_gemma && layers == GEMMA_27B_LAYERS;
        let scored_width = if is_gemma_27b { width / heads } else { head_width };
        let window = if architecture.is_gemma { window(&keys, layers)? } else { None };
        // Zero stands for none. Other architectures have no cap, also where a file gives one.
        let cap = if architecture.is_gemma { keys.optional_float("final_logit_softcapping")? } else { None };
        let trained_context = keys.count("context_length")?;
        let rope = rope(&keys, architecture.layout, head_width, trained_context, has("rope_freqs.weight"))?;
        Ok(Self {
            architecture: name.to_owned(),
            layers,
            width,
            heads,
            kv_heads,
            head_width,
            feed_forward,
            vocabulary: vocabulary(model)?,
            trained_context,
            epsilon: epsilon as f32,
            rope,
            window,
            attention_scale: 1.0 / (scored_width as f32).sqrt(),
            embedding_scale: if architecture.is_gemma { (width as f32).sqrt() } else { 1.0 },
            activation: if architecture.is_gemma { Activation::Gelu } else { Activation::Silu },
            logit_cap: cap.filter(|&cap| cap > 0.0).map(|cap| cap as f32),
            head_norms: architecture.head_norms,
            post_norms: architecture.is_gemma,
            tied_output: !has("output.weight"),
            experts,
            may_have_biases: architecture.biases,
            warnings: keys.finish()?,
        })
    }

    /// What of the metadata is not followed, a sentence for each key.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Floats from the start of a head to the next in queries, keys and values: kernels load four at a time,
    /// so zeros stand behind heads that are not whole quads.
    pub(super) fn head_stride(&self) -> usize {
        self.head_width.next_multiple_of(4)
    }

    /// Whether zeros stand behind heads.
    pub(super) fn has_padded_heads(&self) -> bool {
        self.head_stride() != self.head_width
    }

    /// Floats in the queries of a token, with the zeros between them.
    pub(super) fn query_width(&self) -> usize {
        self.heads * self.head_stride()
    }

    /// Floats in the keys of a token, and in its values, with the zeros between them.
    pub(super) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_stride()
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

fn rope(
    keys: &Keys,
    layout: RopeLayout,
    head_width: usize,
    trained_context: usize,
    divisors: bool,
) -> Result<Rope> {
    let dimensions = keys.optional_count("rope.dimension_count")?.unwrap_or(head_width);
    if dimensions > head_width || !dimensions.is_multiple_of(2) {
        return Err(keys.missing("rope.dimension_count", "even and no more than the floats in a head"));
    }
    if keys.optional_count("rope.dimension_count_swa")?.is_some_and(|windowed| windowed != dimensions) {
        return Err(keys.missing("rope.dimension_count_swa", "the same as rope.dimension_count"));
    }
    // The second is the older name of the first, which counts where both are there.
    let old_factor = keys.optional_float("rope.scale_linear")?;
    let factor = keys.optional_float("rope.scaling.factor")?.or(old_factor);
    let factor = factor.filter(|&factor| factor > 0.0).unwrap_or(1.0);
    let original_context = keys.optional_size("rope.scaling.original_context_length")?;
    let (scale, yarn) = match keys.optional_str("rope.scaling.type")? {
        Some("none") => (1.0, None),
        None | Some("linear") => (1.0 / factor, None),
        Some("yarn") => {
            let original_context = original_context.filter(|&context| context > 0).unwrap_or(trained_context);
            (1.0 / factor, Some(Yarn { original_context }))
        }
        Some(other) => {
            let known = "none, linear, yarn".to_owned();
            return Err(Error::Unsupported { what: "the rope scaling", found: other.to_owned(), known });
        }
    };
    let base = keys.optional_float("rope.freq_base")?.unwrap_or(10_000.0);
    let attention_factor = keys.optional_float("rope.scaling.attn_factor")?.unwrap_or(1.0);
    Ok(Rope { layout, dimensions, base, scale, attention_factor, yarn, divisors })
}

/// Fails where a key cannot be; `None` where the file has no window, or one of 0 tokens.
fn window(keys: &Keys, layers: usize) -> Result<Option<Window>> {
    // A layer has a window unless its number, from 1, is a multiple of the pattern; of 0, all have.
    let by_pattern = |pattern: Option<u64>| {
        let pattern = pattern.unwrap_or(GEMMA_PATTERN);
        (1..=layers as u64).map(|number| pattern == 0 || number % pattern != 0).collect()
    };
    let windowed = keys.layers("attention.sliding_window_pattern", layers, by_pattern)?;
    let rope_base = keys.optional_float("rope.freq_base_swa")?.unwrap_or(10_000.0);
    let tokens = keys.optional_size("attention.sliding_window")?.filter(|&tokens| tokens > 0);
    Ok(tokens.map(|tokens| Window { tokens, layers: windowed, rope_base }))
}

/// With `divides`, the length of the hidden layer is divided among the experts that are used, unless it is
/// given for one.
fn experts(keys: &Keys, divides: bool) -> Result<Option<Experts>> {
    keys.pass(&["expert_used_count", "expert_feed_forward_length", "feed_forward_length"]);
    let groups = "models whose experts are one group";
    keys.only("expert_group_count", "the groups of experts", &[0.0, 1.0], groups)?;
    keys.pass(&["expert_group_used_count"]);
    // Files of models without experts may say 0.
    let Some(count) = keys.optional_size("expert_count")?.filter(|&count| count > 0) else { return Ok(None) };
    let used = keys.count("expert_used_count")?;
    if used > count {
        return Err(keys.missing("expert_used_count", "no more than there are experts"));
    }
    let feed_forward = match keys.optional_count("expert_feed_forward_length")? {
        Some(feed_forward) => feed_forward,
        None => keys.count("feed_forward_length")? / if divides { used } else { 1 },
    };
    if feed_forward == 0 {
        return Err(keys.missing("feed_forward_length", "no less than the experts that are used"));
    }
    Ok(Some(Experts { count, used, feed_forward }))
}
