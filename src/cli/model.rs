//! What commands that run a model have in common: which model, and where.

use super::failure::Failure;
use super::words::{self, Words};
use super::{device, show};
use clap::Args;
use qmill::Device;
use qmill::gpu::{DeviceChoice, Precision};
use qmill::llm::{LoadOptions, Model, Tokenizer};
use qmill::mix::FileType;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct ModelOptions {
    /// The model; of a split model the first file
    #[arg(short, long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// Quantize the weights while they are loaded, as `qmill quantize` would to this type; no file is written
    #[arg(long, value_name = "TYPE", value_parser = Words::<FileType>::of(words::file_types))]
    #[arg(hide_possible_values = true)]
    quantize: Option<FileType>,
    /// Where to compute: auto takes a GPU if there is one, gpu a software adapter too;
    /// cpu, or a number or name from `qmill devices`
    #[arg(long, value_name = "auto|cpu|gpu|INDEX|NAME", default_value = "auto")]
    #[arg(value_parser = Words::<DeviceChoice>::of(words::devices), hide_possible_values = true)]
    device: DeviceChoice,
    /// Take activations as they are in products on a GPU, not in eight bits; slower
    #[arg(long)]
    exact: bool,
}

impl ModelOptions {
    pub(super) fn open_device(&self) -> Result<Device, Failure> {
        device::open(&self.device)
    }

    pub(super) fn load(
        &self,
        device: &Device,
        context: Option<usize>,
    ) -> Result<(Model, Tokenizer), Failure> {
        let options = LoadOptions { quantize: self.quantize, ..self.options(device, context) };
        let model = Model::load(&self.model, &options)?;
        warn(&model);
        let tokenizer = Tokenizer::new(model.metadata())?;
        Ok((model, tokenizer))
    }

    /// Another model, as its file has it.
    pub(super) fn load_other(&self, path: &Path, device: &Device, context: usize) -> Result<Model, Failure> {
        let model = Model::load(path, &self.options(device, Some(context)))?;
        warn(&model);
        Ok(model)
    }

    fn options(&self, device: &Device, context: Option<usize>) -> LoadOptions {
        let precision = if self.exact { Precision::Exact } else { Precision::Int8 };
        LoadOptions { device: device.clone(), context, precision, ..LoadOptions::default() }
    }
}

/// Says on standard error what of the file the model does not follow.
fn warn(model: &Model) {
    for warning in model.warnings() {
        eprintln!("qmill: warning: {warning}");
    }
}

/// Keeps what was compiled for the next start.
pub(super) fn store_pipelines(device: &Device) {
    if let Device::Gpu(gpu) = device {
        gpu.store_pipelines();
    }
}

/// `83.1 MiB in the file, 5.21 bits per weight; 83.1 MiB of weights and 90.0 MiB for the context on DEVICE`.
pub(super) fn sizes(model: &Model) -> String {
    format!(
        "{} in the file, {:.2} bits per weight; {} of weights and {} for the context on {}",
        show::bytes(model.file_bytes()),
        bits_per_weight(model),
        show::bytes(model.device_bytes()),
        show::bytes(model.cache_bytes()),
        model.device(),
    )
}

pub(super) fn add_sizes(object: &mut Value, model: &Model) {
    object["device"] = json!(model.device().to_string());
    object["file_bytes"] = json!(model.file_bytes());
    object["bits_per_weight"] = json!(bits_per_weight(model));
    object["device_bytes"] = json!(model.device_bytes());
    object["context_bytes"] = json!(model.cache_bytes());
}

/// Of the file.
fn bits_per_weight(model: &Model) -> f64 {
    model.file_bytes() as f64 * 8.0 / model.parameters() as f64
}
