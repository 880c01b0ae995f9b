//! The plan of a run, made from the header alone.

use super::notes::ineffective;
use super::{Request, Verify};
use crate::error::RequestFault;
use crate::gguf::{Layout, Metadata, Model, TensorInfo, TensorType, Value};
use crate::gguf::{SPLIT_COUNT_KEY, SPLIT_NUMBER_KEY, SPLIT_TENSORS_KEY};
use crate::mix::{self, Choice, Facts, FileType};
use crate::{Error, Format, Result};
use std::collections::BTreeSet;

const QUANTIZATION_VERSION_KEY: &str = "general.quantization_version";
/// ggml's `GGML_QNT_VERSION`.
const QUANTIZATION_VERSION: u32 = 2;
const FILE_TYPE_KEY: &str = "general.file_type";
const SPLIT_KEYS: [&str; 3] = [SPLIT_NUMBER_KEY, SPLIT_COUNT_KEY, SPLIT_TENSORS_KEY];
/// Weights in the shortest blocks of the formats that replace others.
const SHORTEST_BLOCK: u64 = 32;

/// The new type of every tensor of a model, and the offset of every byte in the new files.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The files to write. More than one only for a split model with [`Request::keep_split`].
    pub files: Vec<PlannedFile>,
    /// Whether the files are named as parts of a split model, even if there is only one.
    pub is_split: bool,
    /// Notes for the user, one sentence each: missing metadata and what is assumed instead, parts of the
    /// request that have no effect, and whether no tensor changes.
    pub notes: Vec<String>,
    /// If rows are too short for the chosen formats: a file type that gives a smaller file.
    pub alternative: Option<Alternative>,
    /// See [`Request::verify`].
    pub verify: Verify,
}

/// One file to write.
#[derive(Clone, Debug)]
pub struct PlannedFile {
    /// The offsets of its bytes.
    pub layout: Layout,
    /// Its tensors, in the order of [`Layout::tensors`].
    pub tensors: Vec<PlannedTensor>,
}

/// Another file type, and the size that it would give the same model.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Alternative {
    /// The file type.
    pub file_type: FileType,
    /// Bits of tensor data per weight.
    pub bits_per_weight: f64,
}

/// Tensors whose chosen format was replaced because of the length of their rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Fallback {
    /// Weights in a row.
    pub row_len: u64,
    /// The block length that the row length is not a multiple of.
    pub block_weights: u64,
    /// The chosen format.
    pub meant: Format,
    /// The format that replaces it.
    pub became: Format,
    /// Number of such tensors.
    pub tensors: usize,
}

/// The source and the result of one tensor.
#[derive(Clone, Debug)]
pub struct PlannedTensor {
    /// Its index in [`Model::tensors`] of the source.
    pub source_index: usize,
    /// Name, shape and type in the source.
    pub from: TensorInfo,
    /// Name, shape and type in the new file. The offset is not set.
    pub to: TensorInfo,
    /// The chosen format, if it was replaced because rows are not whole blocks of it.
    pub fallback_from: Option<Format>,
}

impl PlannedTensor {
    /// Whether its bytes are copied unchanged.
    pub fn is_copied(&self) -> bool {
        self.from.tensor_type() == self.to.tensor_type()
    }

    /// Why its chosen format was replaced, if it was.
    pub fn fallback(&self) -> Option<Fallback> {
        let meant = self.fallback_from?;
        let became = self.to.tensor_type().format()?;
        // A float format replaces it if rows are not even whole blocks of the shortest length.
        let needed = if became.is_float() { SHORTEST_BLOCK } else { meant.info().block_weights as u64 };
        Some(Fallback { row_len: self.to.row_len(), block_weights: needed, meant, became, tensors: 1 })
    }
}

impl Plan {
    /// Plans `request` for `model`. Reads only the header.
    ///
    /// Fails with [`RequestFault::Requantize`] if a tensor is quantized already, with
    /// [`RequestFault::NothingToQuantize`] if no file type would change any tensor, with
    /// [`Error::NotEncoded`] if qmill has no encoder for a format, with [`RequestFault::PruneLayers`], with
    /// [`RequestFault::SplitKey`], with the errors of [`mix::choose`], and with [`Error::Layout`].
    pub fn new(model: &Model, request: &Request) -> Result<Self> {
        let mut metadata = model.metadata().clone();
        let source_file_type = metadata.get(FILE_TYPE_KEY).cloned();
        for key in SPLIT_KEYS {
            metadata.remove(key);
        }
        put_last(&mut metadata, QUANTIZATION_VERSION_KEY, QUANTIZATION_VERSION);
        metadata.remove(FILE_TYPE_KEY);
        // A copy keeps its file type, or its lack of one.
        if let Some(value) = request.file_type.info().number.map(Value::from).or(source_file_type) {
            metadata.set(FILE_TYPE_KEY, value);
        }
        for (key, value) in &request.metadata {
            if SPLIT_KEYS.contains(&key.as_str()) {
                return Err(Error::Request(RequestFault::SplitKey { key: key.clone() }));
            }
            put_last(&mut metadata, key, value.clone());
        }
        let facts = facts(&metadata);

        let tensors: Vec<_> = model.tensors().collect();
        let names: Vec<&str> = tensors.iter().map(|tensor| tensor.info.name()).collect();
        let mut order = mix::file_order(&names);
        if let Some(&last) = request.prune_layers.last() {
            let layers = mix::block_count(names.iter().copied());
            if last >= layers {
                return Err(Error::Request(RequestFault::PruneLayers { layer: last, layers }));
            }
            let key = format!("{}.block_count", facts.architecture);
            put_last(&mut metadata, &key, layers - request.prune_layers.len() as u32);
        }
        let new_names: Vec<Option<String>> =
            names.iter().map(|name| renumbered(name, &request.prune_layers)).collect();
        order.retain(|&index| new_names[index].is_some());
        if request.keep_split {
            order.sort_by_key(|&index| index);
        }

        let views: Vec<mix::Tensor> = order
            .iter()
            .map(|&index| mix::Tensor {
                name: new_names[index].as_deref().unwrap_or_default(),
                shape: tensors[index].info.shape(),
                format: tensors[index].info.tensor_type().format(),
            })
            .collect();
        refuse_nothing(model, &facts, &views, request)?;
        let choices = mix::choose(&facts, &views, request.file_type, &request.mix)?;
        let alternative = alternative(&facts, &views, &choices, request);

        let file_count = if request.keep_split { model.shards().len() } else { 1 };
        let mut files: Vec<Vec<PlannedTensor>> = vec![Vec::new(); file_count];
        for ((&index, view), choice) in order.iter().zip(&views).zip(choices) {
            let tensor = &tensors[index];
            let planned = plan_tensor(index, tensor.info, view.name, choice, request.allow_requantize)?;
            files[if request.keep_split { tensor.shard_index } else { 0 }].push(planned);
        }
        let mut notes = facts.notes();
        notes.extend(ineffective(&facts, &views, request));
        let file_type = request.file_type;
        if file_type != FileType::COPY && files.iter().flatten().all(PlannedTensor::is_copied) {
            notes.push(format!("no tensor changes: all that {file_type} quantizes have its formats already"));
        }
        let files = lay_out(files, &metadata)?;
        Ok(Self { files, is_split: request.keep_split, notes, alternative, verify: request.verify })
    }

    /// All tensors, in the order of the files.
    pub fn tensors(&self) -> impl Iterator<Item = &PlannedTensor> {
        self.files.iter().flat_map(|file| &file.tensors)
    }

    /// The replacements of chosen formats, in order of first appearance.
    pub fn fallbacks(&self) -> Vec<Fallback> {
        let mut fallbacks: Vec<Fallback> = Vec::new();
        for found in self.tensors().filter_map(PlannedTensor::fallback) {
            match fallbacks.iter_mut().find(|known| Fallback { tensors: 1, ..**known } == found) {
                Some(known) => known.tensors += 1,
                None => fallbacks.push(found),
            }
        }
        fallbacks
    }

    /// Total length of the files.
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.layout.file_bytes()).sum()
    }
}

fn plan_tensor(
    source_index: usize,
    from: &TensorInfo,
    name: &str,
    choice: Choice,
    allow_requantize: bool,
) -> Result<PlannedTensor> {
    let tensor_type = match (choice.format, from.tensor_type()) {
        (None, kept) => kept,
        (Some(format), TensorType::Weights(source)) if !source.is_float() && !allow_requantize => {
            let tensor = name.to_owned();
            return Err(Error::Request(RequestFault::Requantize { tensor, from: source, to: format }));
        }
        (Some(format), _) if !format.info().can_quantize() => return Err(Error::NotEncoded { format }),
        (Some(format), _) => format.into(),
    };
    Ok(PlannedTensor {
        source_index,
        from: from.clone(),
        to: TensorInfo::new(name, from.shape(), tensor_type)?,
        fallback_from: choice.fallback_from,
    })
}

/// Refuses a file that no file type would change, such as an importance matrix or an adapter, unless all its
/// tensors have the requested format already.
fn refuse_nothing(model: &Model, facts: &Facts, views: &[mix::Tensor], request: &Request) -> Result<()> {
    let Some(default) = request.file_type.info().format else { return Ok(()) };
    let is_there = !views.is_empty() && views.iter().all(|view| view.format == Some(default));
    if is_there || views.iter().any(|view| mix::may_change(facts, view, &request.mix)) {
        return Ok(());
    }
    let text = |key| model.metadata().str_of(key).filter(|text| !text.is_empty());
    let kind = match (text("general.type"), text("general.architecture")) {
        (Some(kind), _) => format!("of general.type {kind:?}"),
        (None, Some(architecture)) => format!("of general.architecture {architecture:?}"),
        (None, None) => "of no general.type".to_owned(),
    };
    let path = model.shards()[0].path().to_owned();
    let file_type = request.file_type;
    let tensors = views.len();
    Err(Error::Request(RequestFault::NothingToQuantize { path, kind, tensors, file_type }))
}

/// If rows are too short for a chosen format: a file type with short blocks that gives a smaller file.
fn alternative(
    facts: &Facts,
    views: &[mix::Tensor],
    choices: &[Choice],
    request: &Request,
) -> Option<Alternative> {
    if choices.iter().all(|choice| choice.fallback_from.is_none()) {
        return None;
    }
    let file_type = request.file_type.of_short_blocks()?;
    let other = mix::choose(facts, views, file_type, &request.mix).ok()?;
    let bits_per_weight = bits_per_weight(views, &other);
    (bits_per_weight < self::bits_per_weight(views, choices))
        .then_some(Alternative { file_type, bits_per_weight })
}

/// The mean over all tensors that hold weights.
fn bits_per_weight(views: &[mix::Tensor], choices: &[Choice]) -> f64 {
    let (mut weights, mut bits) = (0.0, 0.0);
    for (view, choice) in views.iter().zip(choices) {
        let Some(format) = choice.format.or(view.format) else { continue };
        let count = view.shape.iter().product::<u64>() as f64;
        weights += count;
        bits += count * format.info().bits_per_weight();
    }
    bits / f64::max(weights, 1.0)
}

fn lay_out(files: Vec<Vec<PlannedTensor>>, metadata: &Metadata) -> Result<Vec<PlannedFile>> {
    let file_count = files.len();
    let tensor_count: usize = files.iter().map(Vec::len).sum();
    let lay_out_one = |(number, tensors): (usize, Vec<PlannedTensor>)| {
        let mut metadata = if number == 0 { metadata.clone() } else { Metadata::new() };
        if file_count > 1 {
            metadata.set(SPLIT_NUMBER_KEY, number as u16);
            metadata.set(SPLIT_COUNT_KEY, file_count as u16);
            metadata.set(SPLIT_TENSORS_KEY, tensor_count as i32);
        }
        let infos = tensors.iter().map(|tensor| tensor.to.clone()).collect();
        Ok(PlannedFile { layout: Layout::new(&metadata, infos)?, tensors })
    };
    files.into_iter().enumerate().map(lay_out_one).collect()
}

/// Sets a key and moves it to the end, as ggml does.
fn put_last(metadata: &mut Metadata, key: &str, value: impl Into<Value>) {
    metadata.remove(key);
    metadata.set(key, value);
}

/// The metadata that the choice of formats depends on.
pub(crate) fn facts(metadata: &Metadata) -> Facts {
    let architecture = metadata.str_of("general.architecture").unwrap_or_default();
    let number = |key: &str| {
        let value = metadata.get(&format!("{architecture}.{key}"))?;
        // Some models have a number for each layer: that of layer 0 is taken for all.
        let first = value.as_array().and_then(|array| array.iter().next());
        first.as_ref().unwrap_or(value).as_u64()?.try_into().ok()
    };
    Facts {
        architecture: architecture.to_owned(),
        block_count: number("block_count"),
        head_count: number("attention.head_count"),
        head_count_kv: number("attention.head_count_kv"),
        expert_count: number("expert_count"),
    }
}

/// The new name of a tensor if `layers` are left out; `None` if the tensor belongs to one of them.
fn renumbered(name: &str, layers: &BTreeSet<u32>) -> Option<String> {
    match mix::layer(name) {
        Some(layer) if layers.contains(&layer) => None,
        Some(layer) => {
            let pruned_below = layers.range(..layer).count() as u32;
            Some(name.replacen(&layer.to_string(), &(layer - pruned_below).to_string(), 1))
        }
        None => Some(name.to_owned()),
    }
}
