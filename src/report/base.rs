//! What a report says of its base.

use super::data::Base;
use crate::eval::BaseKey;
use crate::gguf;
use std::fs;

/// The base as a report names it.
pub(super) fn base_of(model: &gguf::Model, key: &BaseKey) -> Base {
    let file = model.shards()[0].path();
    let formats = model.tensors().filter_map(|tensor| tensor.info.tensor_type().format());
    Base {
        file: file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned(),
        model: key.model.clone(),
        weights: model.tensors().map(|tensor| tensor.info.weights()).sum(),
        is_quantized: formats.into_iter().any(|format| !format.is_float()),
    }
}

/// The format of most weights of a model.
pub(super) fn formats_of(model: &gguf::Model) -> String {
    let mut totals: Vec<(&str, u64)> = Vec::new();
    for tensor in model.tensors() {
        let name = tensor.info.tensor_type().name();
        match totals.iter_mut().find(|(known, _)| *known == name) {
            Some((_, total)) => *total += tensor.info.weights(),
            None => totals.push((name, tensor.info.weights())),
        }
    }
    let most = totals.into_iter().max_by_key(|(_, total)| *total);
    most.map_or_else(String::new, |(name, _)| format!("{name} (base)"))
}

/// Length of a model's files; of a model that is in no file, that of its data and headers.
pub(super) fn file_bytes(model: &gguf::Model) -> u64 {
    let lengths = model.shards().iter().map(|shard| {
        let end = shard.header().tensors.iter().map(|tensor| tensor.offset() + tensor.bytes()).max();
        let computed = shard.header().data_offset + end.unwrap_or(0);
        fs::metadata(shard.path()).map_or(computed, |found| found.len())
    });
    lengths.sum()
}
