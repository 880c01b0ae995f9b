//! Which format each tensor of a file gets: `Q4_K_M` and the other file types, as llama-quantize chooses.
//!
//! A **file type** names a default [`Format`] and a set of exceptions: the output matrix, the first and last
//! layers, the tensors that suffer most. [`choose`] is the whole selection, a pure function of the model's
//! [`Facts`], its tensors in [`file_order`] and the user's [`Options`]; the exceptions are in `mix/rules.rs`.
//! Every architecture is accepted, known or not: the rules go by tensor names and a few numbers.
//!
//! The choices are those of llama.cpp at ggml 0.25 and 0.26 without an importance matrix
//! (`llama_tensor_get_type` in `llama-quant.cpp`), tested against its own snapshots.

mod file_type;
mod rules;

pub use file_type::{FILE_TYPES, FileType, FileTypeInfo, IMATRIX_FILE_TYPES, ImatrixFileType};

use crate::{Error, Format, Result};
use rules::{Category, Mix};
use std::fmt;
#[cfg(feature = "regex")]
use {regex::Regex, std::str::FromStr};

/// What the selection needs to know of a model, as the file's metadata says it; `None` is a missing key.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `general.architecture`; empty when missing.
    pub architecture: String,
    /// `<architecture>.block_count`: layers, those for predicting further tokens included.
    pub block_count: Option<u32>,
    /// `<architecture>.attention.head_count`, of layer 0 where it is an array.
    pub head_count: Option<u32>,
    /// `<architecture>.attention.head_count_kv`, of layer 0 where it is an array; by default `head_count`.
    pub head_count_kv: Option<u32>,
    /// `<architecture>.expert_count`; by default none.
    pub expert_count: Option<u32>,
}

impl Facts {
    /// What the file should say and does not, and what is assumed instead: one sentence each, for the user.
    pub fn notes(&self) -> Vec<String> {
        let architecture = match self.architecture.as_str() {
            "" => "<architecture>",
            name => name,
        };
        let mut notes = Vec::new();
        if self.architecture.is_empty() {
            notes.push("no general.architecture: no rule of a particular architecture applies".to_owned());
        }
        if self.block_count.is_none() {
            notes.push(format!("no {architecture}.block_count: layers are counted by the tensor names"));
        }
        if self.head_count.is_none() {
            notes.push(format!(
                "no {architecture}.attention.head_count: no heads are taken to share keys and values"
            ));
        }
        notes
    }
}

/// A tensor as the selection sees it.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Its dimensions, the length of a row first.
    pub shape: &'a [u64],
    /// How it is stored now; `None` is a type that holds no weights (integers, f64), which is always kept.
    pub format: Option<Format>,
}

impl Tensor<'_> {
    /// Weights in a row.
    fn row(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1)
    }

    fn is_vector(&self) -> bool {
        self.shape.iter().skip(1).all(|&length| length <= 1)
    }

    /// Whether this is a stack of matrices: the experts of a layer.
    fn is_stack(&self) -> bool {
        self.shape.get(2).is_some_and(|&length| length > 1)
    }

    fn has_blocks_of(&self, format: Format) -> bool {
        self.row().is_multiple_of(format.info().block_weights as u64)
    }

    fn row_length_error(&self, format: Format) -> Error {
        Error::RowLength { tensor: self.name.to_owned(), weights: self.row(), format }
    }
}

/// A user's format for the tensors whose name a pattern matches: `ffn_down=Q6_K`. Or for one tensor.
#[derive(Clone, Debug)]
pub struct TensorRule {
    names: Names,
    format: Format,
}

/// Which tensors a rule is for.
#[derive(Clone, Debug)]
enum Names {
    One(String),
    #[cfg(feature = "regex")]
    Matching(Regex),
}

impl TensorRule {
    /// A format for the tensor of exactly this name.
    pub fn named(name: impl Into<String>, format: Format) -> Self {
        Self { names: Names::One(name.into()), format }
    }

    /// Whether a tensor of this name gets the format.
    pub(crate) fn matches(&self, name: &str) -> bool {
        match &self.names {
            Names::One(named) => named == name,
            #[cfg(feature = "regex")]
            Names::Matching(pattern) => pattern.is_match(name),
        }
    }
}

#[cfg(feature = "regex")]
impl FromStr for TensorRule {
    type Err = Error;

    /// Takes `REGEX=FORMAT`, split at the first `=`.
    ///
    /// As in llama-quantize the pattern is lower-cased (so `\D` means `\d`) and may match anywhere in a name.
    /// The syntax is that of the `regex` crate, which has no look-around and no back-references. Fails with
    /// [`Error::TensorRule`], [`Error::Pattern`] or [`Error::UnknownFormat`].
    fn from_str(rule: &str) -> Result<Self> {
        let (pattern, format) = rule
            .split_once('=')
            .filter(|(pattern, _)| !pattern.is_empty())
            .ok_or_else(|| Error::TensorRule { rule: rule.to_owned() })?;
        let regex = Regex::new(&pattern.to_ascii_lowercase())
            .map_err(|error| Error::Pattern { pattern: pattern.to_owned(), source: error.into() })?;
        Ok(Self { names: Names::Matching(regex), format: format.parse()? })
    }
}

impl fmt::Display for TensorRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.names {
            Names::One(name) => write!(f, "{name}={}", self.format),
            #[cfg(feature = "regex")]
            Names::Matching(pattern) => write!(f, "{pattern}={}", self.format),
        }
    }
}

/// What the user asks for beside the file type; llama-quantize's flags of the same names.
/// [`Options::default`], changed by the methods that begin with `with_`, or field by field.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Gives every tensor the default format, without exceptions.
    pub pure: bool,
    /// Keeps `output.weight` as it is.
    pub leave_output_tensor: bool,
    /// The format of `output.weight`, or, unless `pure`, of the token embedding that stands in for it.
    pub output_tensor_type: Option<Format>,
    /// The format of the token embedding.
    pub token_embedding_type: Option<Format>,
    /// Formats by name; the first rule that matches wins. Ignored where the default format is a float.
    pub tensor_types: Vec<TensorRule>,
}

impl Options {
    /// These, with another [`pure`](Self::pure).
    #[must_use]
    pub fn with_pure(self, pure: bool) -> Self {
        Self { pure, ..self }
    }

    /// These, with another [`leave_output_tensor`](Self::leave_output_tensor).
    #[must_use]
    pub fn with_leave_output_tensor(self, leave_output_tensor: bool) -> Self {
        Self { leave_output_tensor, ..self }
    }

    /// These, with another [`output_tensor_type`](Self::output_tensor_type).
    #[must_use]
    pub fn with_output_tensor_type(self, output_tensor_type: Option<Format>) -> Self {
        Self { output_tensor_type, ..self }
    }

    /// These, with another [`token_embedding_type`](Self::token_embedding_type).
    #[must_use]
    pub fn with_token_embedding_type(self, token_embedding_type: Option<Format>) -> Self {
        Self { token_embedding_type, ..self }
    }

    /// These, with another [`tensor_types`](Self::tensor_types).
    #[must_use]
    pub fn with_tensor_types(self, tensor_types: Vec<TensorRule>) -> Self {
        Self { tensor_types, ..self }
    }

    fn by_name(&self, name: &str) -> Option<Format> {
        self.tensor_types.iter().find(|rule| rule.matches(name)).map(|rule| rule.format)
    }

    /// The format that a flag demands for this tensor whatever its rows are.
    fn demanded(&self, tensor: &Tensor, category: Category) -> Option<Format> {
        match category {
            Category::Output => self.output_tensor_type,
            Category::TokenEmbd
                if tensor.name == rules::PER_LAYER_TOKEN_EMBD && self.by_name(tensor.name).is_some() =>
            {
                None
            }
            Category::TokenEmbd => self.token_embedding_type,
            _ => None,
        }
    }
}

/// What becomes of one tensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The format to write; `None` copies the tensor's bytes as they are.
    pub format: Option<Format>,
    /// The format that was meant, where rows are no whole number of its blocks and another had to do.
    pub fallback_from: Option<Format>,
}

impl Choice {
    const KEEP: Self = Self { format: None, fallback_from: None };

    /// `format` for `tensor`, which may have it already.
    fn new(tensor: &Tensor, format: Format, fallback_from: Option<Format>) -> Self {
        Self { format: (tensor.format != Some(format)).then_some(format), fallback_from }
    }
}

/// The order in which llama-quantize writes tensors: those outside the layers first, then layer by layer, by
/// name within each. Returns indices into `names`.
pub fn file_order(names: &[&str]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|&index| (layer(names[index]), names[index]));
    order
}

/// The number of layers that tensor names speak of: one more than the largest N in `blk.N.`.
pub fn block_count<'a>(names: impl IntoIterator<Item = &'a str>) -> u32 {
    names.into_iter().filter_map(layer).max().map_or(0, |last| last.saturating_add(1))
}

/// The N of a name that starts with `blk.N`.
pub(crate) fn layer(name: &str) -> Option<u32> {
    let rest = name.strip_prefix("blk.")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Whether a file type other than `COPY` says what format this tensor gets; others are copied whatever it is.
pub(crate) fn may_change(facts: &Facts, tensor: &Tensor, options: &Options) -> bool {
    let is_left = options.leave_output_tensor && tensor.name == rules::OUTPUT;
    tensor.format.is_some() && !is_left && !rules::is_never_quantized(&facts.architecture, tensor)
}

/// Whether this is the output matrix.
pub(crate) fn is_output(tensor: &Tensor) -> bool {
    Category::of(tensor.name) == Category::Output
}

/// Whether this is a token embedding.
pub(crate) fn is_token_embedding(tensor: &Tensor) -> bool {
    Category::of(tensor.name) == Category::TokenEmbd
}

/// Chooses a format for every tensor; one [`Choice`] each, in their order.
///
/// `tensors` are all tensors of the model in [`file_order`]: some rules count the tensors before. Whether
/// qmill can encode what is chosen is for the caller to check. Fails with [`Error::RowLength`] where rows are
/// no whole number of blocks and nothing may stand in, and with [`Error::NoLayer`] where a mixture of experts
/// has a `ffn_down` tensor that belongs to no layer.
pub fn choose(
    facts: &Facts,
    tensors: &[Tensor],
    file_type: FileType,
    options: &Options,
) -> Result<Vec<Choice>> {
    let Some(default) = file_type.info().format else {
        return Ok(vec![Choice::KEEP; tensors.len()]);
    };
    let mut mix = Mix::new(facts, tensors, file_type, default, options);
    let choose_one = |tensor: &Tensor| {
        if !may_change(facts, tensor, options) {
            return Ok(Choice::KEEP);
        }
        let category = Category::of(tensor.name);
        if let Some(format) = options.demanded(tensor, category) {
            return if tensor.has_blocks_of(format) {
                Ok(Choice::new(tensor, format, None))
            } else {
                Err(tensor.row_length_error(format))
            };
        }
        if default.is_float() {
            return Ok(Choice::new(tensor, default, None));
        }
        let meant = match options.by_name(tensor.name) {
            Some(format) => format,
            None if options.pure => default,
            None => mix.next(tensor, category)?,
        };
        let format = rules::fit(meant, tensor)?;
        Ok(Choice::new(tensor, format, (format != meant).then_some(meant)))
    };
    tensors.iter().map(choose_one).collect()
}
