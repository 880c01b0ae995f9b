//! `qmill inspect`: the header of a model.

mod value;

use super::failure::Failure;
use super::show;
use clap::Args;
use qmill::gguf::{Model, Tensor, TensorType};
use qmill::mix::{FileType, IMATRIX_FILE_TYPES};
use serde_json::json;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

/// Shows the metadata, tensors, formats and sizes of a GGUF model, from its header alone.
#[derive(Args)]
pub(crate) struct Inspect {
    /// The model; the first file of a split model
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Do not shorten strings and arrays
    #[arg(long)]
    all: bool,
    /// Print one JSON object, with the first 16 elements of each array unless --all is given
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let model = Model::open(&self.file)?;
        let files = Files::of(&model)?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", self.to_json(&model, &files))?;
        } else {
            self.write_text(&model, &files, &mut out)?;
        }
        Ok(())
    }

    fn to_json(&self, model: &Model, files: &Files) -> serde_json::Value {
        let header = model.shards()[0].header();
        let shards = model.shards().iter().zip(&files.bytes).map(|(shard, bytes)| {
            json!({
                "path": shard.path().to_string_lossy(),
                "bytes": bytes,
                "data_offset": shard.header().data_offset,
                "tensors": shard.header().tensors.len(),
            })
        });
        let metadata = model.metadata().iter();
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value::json(value, self.all)));
        let tensors = model.tensors().map(|tensor| {
            json!({
                "name": tensor.info.name(),
                "shape": tensor.info.shape(),
                "type": tensor.info.tensor_type().name(),
                "weights": tensor.info.weights(),
                "bytes": tensor.info.bytes(),
                "file": tensor.shard_index,
                "offset": file_offset(model, &tensor),
            })
        });
        let types = files.types.iter().map(|total| {
            json!({
                "type": total.tensor_type.name(),
                "tensors": total.tensors,
                "weights": total.weights,
                "bytes": total.bytes,
            })
        });
        json!({
            "version": header.version,
            "alignment": header.alignment,
            "files": shards.collect::<Vec<_>>(),
            "file_bytes": files.total_bytes(),
            "file_type": file_type_number(model),
            "file_type_name": file_type_number(model).and_then(file_type_name),
            "metadata": metadata.collect::<serde_json::Map<_, _>>(),
            "tensors": tensors.collect::<Vec<_>>(),
            "types": types.collect::<Vec<_>>(),
            "weights": files.weights(),
            "tensor_bytes": files.tensor_bytes(),
            "bits_per_weight": files.bits_per_weight(),
        })
    }

    fn write_text(&self, model: &Model, files: &Files, out: &mut impl Write) -> io::Result<()> {
        for (shard, &bytes) in model.shards().iter().zip(&files.bytes) {
            let header = shard.header();
            let (version, alignment) = (header.version, header.alignment);
            let path = shard.path().display();
            writeln!(out, "{path}: GGUF version {version}, alignment {alignment}, {}", show::bytes(bytes))?;
        }

        let keys: Vec<_> = model.metadata().iter().map(|(key, value)| (show::escaped(key), value)).collect();
        let key_width = show::width(keys.iter().map(|(key, _)| key));
        writeln!(out, "\n{} keys", keys.len())?;
        for (key, value) in keys {
            let (value_type, text) = (value::type_text(value), value::text(value, self.all));
            writeln!(out, "  {key:key_width$}  {value_type:<14}  {text}")?;
        }

        let names: Vec<String> = model.tensors().map(|tensor| show::escaped(tensor.info.name())).collect();
        let name_width = show::width(&names);
        writeln!(out, "\n{} tensors", names.len())?;
        let (name, shape) = ("name", "shape");
        writeln!(out, "  {name:name_width$}  {shape:>20}  type     {:>10}  {:>14}", "size", "offset")?;
        for (name, tensor) in names.iter().zip(model.tensors()) {
            let info = tensor.info;
            let (shape, tensor_type) = (show::shape(info.shape()), info.tensor_type());
            let (size, offset) = (show::bytes(info.bytes()), file_offset(model, &tensor));
            writeln!(out, "  {name:name_width$}  {shape:>20}  {tensor_type:<7}  {size:>10}  {offset:>14}")?;
        }

        writeln!(out)?;
        for total in &files.types {
            let (weights, bytes) = (show::count(total.weights), show::bytes(total.bytes));
            let Total { tensor_type, tensors, .. } = total;
            writeln!(out, "  {tensor_type:<7} {tensors:>6} tensors {weights:>8} weights {bytes:>10}")?;
        }
        let file_type = match file_type_number(model) {
            None => "no file type".to_owned(),
            Some(number) => match file_type_name(number) {
                Some(name) => format!("file type {name}"),
                None => format!("unknown file type {number}"),
            },
        };
        let parts = match files.bytes.len() {
            1 => String::new(),
            count => format!(" in {count} files"),
        };
        writeln!(
            out,
            "{} weights, {}{parts}, {:.4} bits per weight, {file_type}",
            show::count(files.weights()),
            show::bytes(files.total_bytes()),
            files.bits_per_weight(),
        )
    }
}

/// The sizes of a model's files, and the totals by type.
struct Files {
    bytes: Vec<u64>,
    types: Vec<Total>,
}

/// The tensors of one type.
struct Total {
    tensor_type: TensorType,
    tensors: u64,
    weights: u64,
    bytes: u64,
}

impl Files {
    fn of(model: &Model) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        for shard in model.shards() {
            let path = shard.path();
            let cannot_read = |source| qmill::Error::Io { path: path.to_owned(), action: "read", source };
            bytes.push(fs::metadata(path).map_err(cannot_read)?.len());
        }
        let mut types: Vec<Total> = Vec::new();
        for tensor in model.tensors() {
            let (tensor_type, weights, bytes) =
                (tensor.info.tensor_type(), tensor.info.weights(), tensor.info.bytes());
            match types.iter_mut().find(|total| total.tensor_type == tensor_type) {
                Some(total) => {
                    total.tensors += 1;
                    total.weights += weights;
                    total.bytes += bytes;
                }
                None => types.push(Total { tensor_type, tensors: 1, weights, bytes }),
            }
        }
        Ok(Self { bytes, types })
    }

    fn total_bytes(&self) -> u64 {
        self.bytes.iter().sum()
    }

    fn weights(&self) -> u64 {
        self.types.iter().map(|total| total.weights).sum()
    }

    fn tensor_bytes(&self) -> u64 {
        self.types.iter().map(|total| total.bytes).sum()
    }

    fn bits_per_weight(&self) -> f64 {
        self.tensor_bytes() as f64 * 8.0 / self.weights().max(1) as f64
    }
}

/// The offset of a tensor's data from the start of its file.
fn file_offset(model: &Model, tensor: &Tensor) -> u64 {
    model.shards()[tensor.shard_index].header().data_offset + tensor.info.offset()
}

pub(super) fn file_type_number(model: &Model) -> Option<u64> {
    model.metadata().u64_of("general.file_type")
}

/// The name of a file type, including those that qmill cannot write.
pub(super) fn file_type_name(number: u64) -> Option<&'static str> {
    let number = u32::try_from(number).ok()?;
    let needs_imatrix = || IMATRIX_FILE_TYPES.iter().find(|known| known.number == number);
    FileType::from_number(number).map(FileType::name).or_else(|| needs_imatrix().map(|known| known.name))
}
