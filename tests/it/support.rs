//! Small models, and helpers to inspect them.

use qmill::gguf::{Layout, Metadata, Model, TensorInfo, TensorType, Writer};
use qmill::{Format, cpu};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};
use std::fs;
use std::path::Path;

/// A trained Llama model of 3.5 million weights, F16 with norms in F32.
pub(crate) const TINY_SHAKESPEARE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-shakespeare-f16.gguf");

/// Weights of a normal distribution with the deviation of trained layers.
pub(crate) fn gaussian(seed: u64, count: usize) -> Vec<f32> {
    let random = StdRng::seed_from_u64(seed);
    let normal = Distribution::<f32>::sample_iter(StandardNormal, random);
    normal.take(count).map(|x| 0.02 * x).collect()
}

pub(crate) fn quantized(format: Format, weights: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; format.bytes_for(weights.len() as u64) as usize];
    cpu::quantize(format, weights, &mut bytes).unwrap();
    bytes
}

pub(crate) fn dequantized(format: Format, bytes: &[u8]) -> Vec<f32> {
    let mut weights = vec![0.0; bytes.len() / format.info().block_bytes * format.info().block_weights];
    cpu::dequantize(format, bytes, &mut weights).unwrap();
    weights
}

/// A builder of model files.
#[derive(Clone)]
pub(crate) struct ModelFile {
    pub(crate) metadata: Metadata,
    tensors: Vec<(TensorInfo, Vec<u8>)>,
}

impl ModelFile {
    /// A Llama model of two layers with the keys that mixes read, without tensors.
    pub(crate) fn llama() -> Self {
        let mut metadata = Metadata::new();
        metadata.set("general.architecture", "llama");
        metadata.set("llama.block_count", 2u32);
        metadata.set("llama.attention.head_count", 4u32);
        metadata.set("general.file_type", 0u32);
        metadata.set("general.name", "test");
        Self { metadata, tensors: Vec::new() }
    }

    /// A file with `metadata`, without tensors.
    pub(crate) fn of(metadata: Metadata) -> Self {
        Self { metadata, tensors: Vec::new() }
    }

    /// Adds a tensor of `weights` in `format`.
    pub(crate) fn with(self, name: &str, shape: &[u64], format: Format, weights: &[f32]) -> Self {
        self.with_bytes(name, shape, format, quantized(format, weights))
    }

    /// Adds a tensor of gaussian weights; `name` is the seed.
    pub(crate) fn with_gaussian(self, name: &str, shape: &[u64], format: Format) -> Self {
        let seed = name.bytes().fold(0u64, |seed, byte| seed.rotate_left(7) ^ u64::from(byte));
        let weights = gaussian(seed, shape.iter().product::<u64>() as usize);
        self.with(name, shape, format, &weights)
    }

    /// Adds a tensor of these bytes.
    pub(crate) fn with_bytes(
        mut self,
        name: &str,
        shape: &[u64],
        tensor_type: impl Into<TensorType>,
        bytes: Vec<u8>,
    ) -> Self {
        let info = TensorInfo::new(name, shape, tensor_type).unwrap();
        assert_eq!(info.bytes(), bytes.len() as u64, "{name}");
        self.tensors.push((info, bytes));
        self
    }

    pub(crate) fn layout(&self) -> Layout {
        let infos = self.tensors.iter().map(|(info, _)| info.clone()).collect();
        Layout::new(&self.metadata, infos).unwrap()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), self.layout()).unwrap();
        for (_, bytes) in &self.tensors {
            writer.write_data(bytes).unwrap();
        }
        writer.finish().unwrap()
    }

    pub(crate) fn save(&self, path: &Path) {
        fs::write(path, self.to_bytes()).unwrap();
    }

    pub(crate) fn open(&self) -> Model {
        open(self.to_bytes())
    }
}

/// A model in memory.
pub(crate) fn open(file: Vec<u8>) -> Model {
    Model::from_source("test.gguf", Box::new(file)).unwrap()
}

pub(crate) fn tensor_bytes(model: &Model, name: &str) -> Vec<u8> {
    let tensor = model.tensor(name).unwrap_or_else(|| panic!("no tensor {name}"));
    let mut bytes = vec![0; tensor.info.bytes() as usize];
    tensor.read_bytes(0, &mut bytes).unwrap();
    bytes
}

pub(crate) fn format_of(model: &Model, name: &str) -> Format {
    model.tensor(name).unwrap().info.tensor_type().format().unwrap()
}

pub(crate) fn names(model: &Model) -> Vec<String> {
    model.tensors().map(|tensor| tensor.info.name().to_owned()).collect()
}

/// The sorted names of the files in a folder, including hidden ones.
pub(crate) fn files_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Compares every tensor of `result` with the whole tensor of `source`, quantized at once.
#[track_caller]
pub(crate) fn assert_converted(source: &Model, result: &Model) {
    for tensor in result.tensors() {
        let name = tensor.info.name();
        let original = source.tensor(name).unwrap_or_else(|| panic!("{name} has no source"));
        assert_eq!(without_ones(tensor.info.shape()), without_ones(original.info.shape()), "{name}");
        let (bytes, found) = (tensor_bytes(source, name), tensor_bytes(result, name));
        let (from, to) = (original.info.tensor_type(), tensor.info.tensor_type());
        let expected = match (from.format(), to.format()) {
            _ if from == to => bytes,
            (Some(from), Some(to)) => quantized(to, &dequantized(from, &bytes)),
            _ => panic!("{name}: {from} became {to}"),
        };
        assert!(found == expected, "{name}: {from} to {to}");
    }
}

/// A shape without trailing dimensions of 1, which a file does not keep.
fn without_ones(shape: &[u64]) -> &[u64] {
    &shape[..shape.iter().rposition(|&length| length != 1).map_or(0, |last| last + 1)]
}
