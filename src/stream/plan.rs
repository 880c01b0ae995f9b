//! What to do, decided from the header alone.

use crate::gguf::{Layout, Metadata, Model, TensorInfo, TensorType, Value};
use crate::gguf::{SPLIT_COUNT_KEY, SPLIT_NUMBER_KEY, SPLIT_TENSORS_KEY};
use crate::mix::{self, Choice, Facts, FileType};
use crate::{Error, Format, Result};
use std::collections::BTreeSet;

const QUANTIZATION_VERSION_KEY: &str = "general.quantization_version";
/// ggml's `GGML_QNT_VERSION`.
const QUANTIZATION_VERSION: u32 = 2;
const FILE_TYPE_KEY: &str = "general.file_type";

/// What a user asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The mix of formats.
    pub file_type: FileType,
    /// Exceptions from it.
    pub mix: mix::Options,
    /// Allows to quantize tensors that are quantized already, which adds their error to the new one.
    pub allow_requantize: bool,
    /// Metadata to set; each key moves to the end, in this order.
    pub metadata: Vec<(String, Value)>,
    /// Layers to leave out; those that stay are numbered anew.
    pub prune_layers: BTreeSet<u32>,
    /// Writes as many files as the model was read from, instead of one.
    pub keep_split: bool,
    /// Holds the bytes of a GPU against those of the CPU twin.
    pub verify: Verify,
}

/// How much of what a GPU makes the CPU twin makes again, to compare.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Verify {
    /// Nothing: the bytes are the same by construction.
    #[default]
    Off,
    /// A sixteenth of the weights of every tensor.
    Sample,
    /// Everything, which takes as long as the twin alone.
    All,
}

impl Request {
    /// Asks for `file_type` and nothing else.
    pub fn new(file_type: FileType) -> Self {
        Self {
            file_type,
            mix: mix::Options::default(),
            allow_requantize: false,
            metadata: Vec::new(),
            prune_layers: BTreeSet::new(),
            keep_split: false,
            verify: Verify::Off,
        }
    }
}

/// What becomes of every tensor of a model, and where every byte of the new file goes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The files to write; more than one only for a split model with [`Request::keep_split`].
    pub files: Vec<PlannedFile>,
    /// Whether the files are named as parts of a split model, even if there is only one.
    pub is_split: bool,
    /// What the source should have said and did not, and what was assumed: one sentence each.
    pub notes: Vec<String>,
    /// As in [`Request::verify`].
    pub verify: Verify,
}

/// One file to write.
#[derive(Clone, Debug)]
pub struct PlannedFile {
    /// Where its bytes go.
    pub layout: Layout,
    /// Its tensors, in the order of [`Layout::tensors`].
    pub tensors: Vec<PlannedTensor>,
}

/// What becomes of one tensor.
#[derive(Clone, Debug)]
pub struct PlannedTensor {
    /// Its number among [`Model::tensors`] of the source.
    pub source_index: usize,
    /// Name, shape and type in the source.
    pub from: TensorInfo,
    /// Name, shape and type in the new file; without its offset.
    pub to: TensorInfo,
    /// The format that was meant, where the rows are not whole blocks of it.
    pub fallback_from: Option<Format>,
}

impl PlannedTensor {
    /// Whether its bytes are copied as they are.
    pub fn is_copied(&self) -> bool {
        self.from.tensor_type() == self.to.tensor_type()
    }
}

impl Plan {
    /// Decides what `request` means for `model`. Reads nothing but the header.
    ///
    /// Fails with [`Error::Requantize`] where a tensor is quantized already, with [`Error::NotEncoded`] where
    /// qmill has no encoder, with [`Error::PruneLayers`], with the errors of [`mix::choose`], and with
    /// [`Error::Layout`].
    pub fn new(model: &Model, request: &Request) -> Result<Self> {
        let mut metadata = model.metadata().clone();
        let source_file_type = metadata.get(FILE_TYPE_KEY).cloned();
        for key in [SPLIT_NUMBER_KEY, SPLIT_COUNT_KEY, SPLIT_TENSORS_KEY] {
            metadata.remove(key);
        }
        put_last(&mut metadata, QUANTIZATION_VERSION_KEY, QUANTIZATION_VERSION);
        metadata.remove(FILE_TYPE_KEY);
        // A copy keeps its file type, or its lack of one.
        if let Some(value) = request.file_type.info().number.map(Value::from).or(source_file_type) {
            metadata.set(FILE_TYPE_KEY, value);
        }
        for (key, value) in &request.metadata {
            put_last(&mut metadata, key, value.clone());
        }
        let facts = facts(&metadata);

        let tensors: Vec<_> = model.tensors().collect();
        let names: Vec<&str> = tensors.iter().map(|tensor| tensor.info.name()).collect();
        let mut order = mix::file_order(&names);
        if let Some(&last) = request.prune_layers.last() {
            let layers = mix::block_count(names.iter().copied());
            if last >= layers {
                return Err(Error::PruneLayers { layer: last, layers });
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
        let choices = mix::choose(&facts, &views, request.file_type, &request.mix)?;

        let file_count = if request.keep_split { model.shards().len() } else { 1 };
        let mut files: Vec<Vec<PlannedTensor>> = vec![Vec::new(); file_count];
        for ((&index, view), choice) in order.iter().zip(&views).zip(choices) {
            let tensor = &tensors[index];
            let planned = plan_tensor(index, tensor.info, view.name, choice, request.allow_requantize)?;
            files[if request.keep_split { tensor.shard_index } else { 0 }].push(planned);
        }
        let files = lay_out(files, &metadata)?;
        Ok(Self { files, is_split: request.keep_split, notes: facts.notes(), verify: request.verify })
    }

    /// All tensors, in the order of the files.
    pub fn tensors(&self) -> impl Iterator<Item = &PlannedTensor> {
        self.files.iter().flat_map(|file| &file.tensors)
    }

    /// Length of all files together.
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
            return Err(Error::Requantize { tensor: name.to_owned(), from: source, to: format });
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

/// The numbers that the choice of formats goes by.
fn facts(metadata: &Metadata) -> Facts {
    let architecture = metadata.str_of("general.architecture").unwrap_or_default();
    let number = |key: &str| {
        let value = metadata.get(&format!("{architecture}.{key}"))?;
        // Some models give a number for each layer; layer 0 speaks for all.
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

/// The name a tensor gets when `layers` are left out; `None` if it is of one of them.
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
