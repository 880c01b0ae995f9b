//! Which format each tensor of a file gets: `Q4_K_M` and the other file types, as llama-quantize chooses.
//!
//! A **file type** names a default [`Format`] and a set of exceptions: the output matrix, the first and last
//! layers, the most sensitive tensors. [`choose`] is the whole selection, a pure function of the model's
//! [`Facts`], its tensors in [`file_order`] and the user's [`Options`]. The exceptions are in `mix/rules.rs`.
//! Known and unknown architectures are accepted: the rules depend on tensor names and a few numbers.
//!
//! The choices are those of llama.cpp at ggml 0.25 and 0.26 without an importance matrix
//! (`llama_tensor_get_type` in `llama-quant.cpp`), tested against its own snapshots.

mod category;
mod facts;
mod file_type;
mod file_types;
mod options;
mod rules;
mod tensor;
mod tensor_rule;

pub use facts::Facts;
pub use file_type::FileType;
pub use file_types::{FILE_TYPES, FileTypeInfo, IMATRIX_FILE_TYPES, ImatrixFileType};
pub use options::Options;
pub(crate) use rules::or_replacement;
pub(crate) use tensor::layer;
pub use tensor::{Tensor, block_count, file_order};
pub use tensor_rule::TensorRule;

use crate::{Format, Result};
use category::{Category, OUTPUT, PER_LAYER_TOKEN_EMBD};
use rules::Mix;

/// What is chosen for one tensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The format to write; `None` copies the tensor's bytes.
    pub format: Option<Format>,
    /// The format by the rules, if another one replaces it because rows are not a whole number of its blocks.
    pub fallback_from: Option<Format>,
}

impl Choice {
    const KEEP: Self = Self { format: None, fallback_from: None };

    /// `format` for `tensor`, which is copied if it has that format already.
    fn new(tensor: &Tensor, format: Format, fallback_from: Option<Format>) -> Self {
        Self { format: (tensor.format != Some(format)).then_some(format), fallback_from }
    }
}

/// Whether a file type other than `COPY` sets the format of this tensor. Other tensors are always copied.
pub(crate) fn may_change(facts: &Facts, tensor: &Tensor, options: &Options) -> bool {
    let is_left = options.leave_output_tensor && tensor.name == OUTPUT;
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

/// The format that an option sets for this tensor, whatever its rows are.
fn requested_format(options: &Options, tensor: &Tensor, category: Category) -> Option<Format> {
    match category {
        Category::Output => options.output_tensor_type,
        Category::TokenEmbd
            if tensor.name == PER_LAYER_TOKEN_EMBD && options.by_name(tensor.name).is_some() =>
        {
            None
        }
        Category::TokenEmbd => options.token_embedding_type,
        _ => None,
    }
}

/// The format that an option sets for this tensor, by its name or by what it is for.
pub(crate) fn pinned(tensor: &Tensor, options: &Options) -> Option<Format> {
    let by_name = || options.by_name(tensor.name);
    requested_format(options, tensor, Category::of(tensor.name)).or_else(by_name)
}

/// Chooses a format for every tensor: one [`Choice`] each, in the order of `tensors`.
///
/// `tensors` are all tensors of the model in [`file_order`], because some rules count the tensors before. The
/// caller checks whether qmill can encode the chosen format.
///
/// Fails with [`Error::RowLength`](crate::Error::RowLength) if rows are not a whole number of blocks and no
/// format may replace the requested one, and with
/// [`RequestFault::NoLayer`](crate::error::RequestFault::NoLayer) if a mixture of experts has a `ffn_down`
/// tensor that belongs to no layer.
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
        if let Some(format) = requested_format(options, tensor, category) {
            return if tensor.has_blocks_of(format) {
                Ok(Choice::new(tensor, format, None))
            } else {
                Err(tensor.row_length_error(format))
            };
        }
        if default.is_float() {
            return Ok(Choice::new(tensor, default, None));
        }
        let by_rules = match options.by_name(tensor.name) {
            Some(format) => format,
            None if options.pure => default,
            None => mix.next(tensor, category)?,
        };
        let format = rules::or_replacement(by_rules, tensor)?;
        Ok(Choice::new(tensor, format, (format != by_rules).then_some(by_rules)))
    };
    tensors.iter().map(choose_one).collect()
}
