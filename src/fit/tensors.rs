//! The tensors of a model that a type is chosen for.

use super::candidates;
use super::roles::{self, OUTPUT, TOKEN_EMBD, is_experts};
use crate::gguf::{Model, TensorInfo};
use crate::mix::{self, Tensor as View};
use crate::stream::{Plan, PlannedTensor, Request, facts};
use crate::{Format, Result};

/// A tensor that a type is chosen for.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) name: String,
    /// Its name in the source: another one where layers before it are left out.
    pub(super) source_name: String,
    /// Its index in [`Model::tensors`].
    pub(super) source_index: usize,
    pub(super) info: TensorInfo,
    /// Its format in the source.
    pub(super) source: Format,
    /// Its format in the fixed mix.
    pub(super) mix: Format,
    /// The formats to choose from; one if the user has chosen.
    pub(super) candidates: Vec<Format>,
    /// Whether the user has chosen.
    pub(super) is_pinned: bool,
    /// The share of its bytes that is read for each token.
    pub(super) active_share: f64,
}

impl Tensor {
    /// See [`roles::role`].
    pub(super) fn role(&self) -> &str {
        roles::role(&self.name)
    }

    /// The layer of the source that it belongs to: `blk.3`.
    pub(super) fn layer(&self) -> Option<String> {
        mix::layer(&self.source_name).map(|layer| format!("blk.{layer}"))
    }

    /// As the rules for formats see it.
    pub(super) fn view(&self) -> View<'_> {
        View { name: &self.name, shape: self.info.shape(), format: Some(self.source) }
    }

    /// Matrices in it: the experts of a layer, or one.
    pub(super) fn matrices(&self) -> u64 {
        self.info.shape().iter().skip(2).product()
    }

    /// Bytes in a file with this format, with padding.
    pub(super) fn file_bytes(&self, format: Format, alignment: u32) -> Result<u64> {
        Ok(self.info.with_type(format)?.bytes().next_multiple_of(u64::from(alignment)))
    }
}

/// The tensors of `plan`, the fixed mix, whose format may change, with `types` to choose from.
pub(super) fn free_tensors(
    model: &Model,
    plan: &Plan,
    request: &Request,
    types: &candidates::Types,
) -> Result<Vec<Tensor>> {
    let facts = facts(model.metadata());
    let tied = is_tied(plan);
    let experts = expert_share(model, &facts.architecture);
    let active_share = |name: &str| match roles::role(name) {
        TOKEN_EMBD if !tied => 0.0,
        role if is_experts(role) => experts.unwrap_or(1.0),
        _ => 1.0,
    };
    let tensor = |planned: &PlannedTensor| {
        let (source, mix) = (planned.from.tensor_type().format()?, planned.to.tensor_type().format()?);
        let view = View { name: planned.to.name(), shape: planned.to.shape(), format: Some(source) };
        if !mix::may_change(&facts, &view, &request.mix) {
            return None;
        }
        // What is quantized stays as it is, unless the request allows to quantize it again.
        if !source.is_float() && !request.allow_requantize {
            return None;
        }
        let is_pinned = mix::pinned(&view, &request.mix).is_some();
        let name = planned.to.name().to_owned();
        Some(types.of(&view, mix, is_pinned).map(|candidates| Tensor {
            active_share: active_share(&name),
            name,
            source_name: planned.from.name().to_owned(),
            source_index: planned.source_index,
            info: planned.to.clone(),
            source,
            mix,
            candidates,
            is_pinned,
        }))
    };
    plan.tensors().filter_map(tensor).collect()
}

/// Whether the token embedding is the output matrix too.
pub(super) fn is_tied(plan: &Plan) -> bool {
    plan.tensors().all(|tensor| roles::role(tensor.to.name()) != OUTPUT)
}

/// The share of experts that a token goes to; `None` for a model without experts.
pub(super) fn expert_share(model: &Model, architecture: &str) -> Option<f64> {
    let number = |key: &str| model.metadata().u64_of(&format!("{architecture}.{key}"));
    let (count, used) = (number("expert_count")?, number("expert_used_count")?);
    (count > 0 && used > 0).then(|| (used as f64 / count as f64).min(1.0))
}
