//! The list of all kernels that a model may take.

use super::attention::{self, AttentionKernel};
use super::kernels::{self, CopyColumns, int8_slot};
use crate::llm::model::Model;
use crate::llm::steps::Step;
use std::collections::{BTreeMap, HashSet};

/// The WGSL of the kernels of `shaders/llm` that sessions of `model` may take on a GPU, by name.
#[doc(hidden)]
pub fn shaders(model: &Model) -> BTreeMap<String, String> {
    let shared = &model.shared;
    let config = &shared.config;
    // With results in f32, and their int8 form too, for a GPU and for a software adapter.
    let choices = [(false, false), (false, true), (true, false), (true, true)];
    let kernels = shared.graph.trunk.iter().chain(&shared.graph.head).flat_map(|step| {
        let choices = choices.into_iter().filter(|&(int8, _)| !int8 || int8_slot(step, config).is_some());
        choices.filter_map(|(int8, software_adapter)| match *step {
            Step::Kernel(step) => Some(kernels::source(step, shared, int8, software_adapter)),
            Step::Attention(_) | Step::Library(_) => None,
        })
    });
    let attention = choices.into_iter().flat_map(|(int8, software_adapter)| {
        let whole = AttentionKernel::with_splits().chain([AttentionKernel::Prefill]);
        let whole =
            whole.map(move |kernel| attention::source(Some(64), shared, kernel, 1, int8, software_adapter));
        let split = AttentionKernel::with_splits()
            .map(move |kernel| attention::source(None, shared, kernel, 4, false, software_adapter));
        whole.chain(split)
    });
    let reduce =
        choices.map(|(int8, software_adapter)| attention::reduce_source(config, 4, int8, software_adapter));
    let copy_columns = CopyColumns { length: 4, start: 4, stride: 8 }.source();
    let sources = kernels.chain(attention).chain(reduce).chain([copy_columns]);
    // Steps of one kernel may have the same constants.
    let texts: HashSet<(&str, String)> = sources.map(|source| (source.name, source.wgsl())).collect();
    texts.into_iter().zip(0..).map(|((name, text), i)| (format!("{name}.{i}"), text)).collect()
}
