//! The GPU against the CPU reference: every format, both formats of the KV cache, both precisions.

use super::{SEEDED, TINY_SHAKESPEARE, assert_near, exact, gpu, seeded, tokens};
use crate::support::{ModelFile, dequantized, quantized};
use qmill::gguf::{self, TensorType};
use qmill::gpu::Precision;
use qmill::llm::{Model, Session};
use qmill::mix::FileType;
use qmill::stream::{Plan, Request};
use qmill::{Device, FORMATS, Format, wgpu};

/// How far a GPU's logits may be from the reference, relative to the largest: sums in f32 against sums in
/// f64.
pub(super) const EXACT: f32 = 2e-5;
/// With keys and values in f16: one that rounds the other way is off by a 2048th.
pub(super) const F16_CACHE: f32 = 2e-3;
/// With activations in eight bits, through all layers.
pub(super) const INT8: f32 = 0.05;

/// The logits of a text: six tokens in one batch, then one by one.
pub(super) fn logits(model: &Model) -> Vec<f32> {
    let mut session = Session::new(model).unwrap();
    let text = tokens(8, model.config().vocabulary);
    let mut logits = session.all_logits(&text[..6]).unwrap();
    for &token in &text[6..] {
        session.prefill(&[token]).unwrap();
        logits.extend(session.logits());
    }
    logits
}

/// The model with the kernels for GPUs, and with those for software adapters.
fn with_all_kernels(model: &Model) -> [Model; 2] {
    [false, true].map(|software_adapter| model.with_kernels_for(software_adapter))
}

pub(super) fn tiny() -> gguf::Model {
    gguf::Model::open(TINY_SHAKESPEARE).unwrap()
}

/// A model with matrices in other formats.
pub(super) fn with_formats(source: &gguf::Model, format: impl Fn(&str) -> Option<Format>) -> gguf::Model {
    let file = source.tensors().fold(ModelFile::of(source.metadata().clone()), |file, tensor| {
        let (name, shape) = (tensor.info.name(), tensor.info.shape());
        let mut bytes = vec![0; tensor.info.bytes() as usize];
        tensor.read_bytes(0, &mut bytes).unwrap();
        match (tensor.info.tensor_type(), format(name)) {
            (TensorType::Weights(from), Some(format)) if shape.len() > 1 => {
                let bytes = quantized(format, &dequantized(from, &bytes));
                file.with_bytes(name, shape, format, bytes)
            }
            (kept, _) => file.with_bytes(name, shape, kept, bytes),
        }
    });
    file.open()
}

#[test]
fn every_format_gives_the_reference_logits() {
    let Some(gpu) = gpu() else { return };
    for info in FORMATS.iter().filter(|info| info.can_quantize()) {
        let file = with_formats(&tiny(), |_| Some(info.format));
        let right = logits(&Model::from_gguf(&file, &exact(Device::Cpu)).unwrap());
        let on_gpu = exact(Device::Gpu(gpu.clone()));
        let found = logits(&Model::from_gguf(&file, &on_gpu).unwrap());
        assert_near(&found, &right, EXACT, &format!("{}", info.format));
        let int8 = on_gpu.with_precision(Precision::Int8);
        let found = logits(&Model::from_gguf(&file, &int8).unwrap());
        assert_near(&found, &right, INT8, &format!("{} by int8", info.format));
    }
}

/// A Llama of one layer; `heads` has the numbers of query heads and of KV heads, and the floats in a head.
pub(super) fn of_heads(heads: [u64; 3]) -> gguf::Model {
    of_shape(64, heads, Format::Q8_0)
}

fn of_shape(width: u64, [heads, kv_heads, head]: [u64; 3], format: Format) -> gguf::Model {
    let mut file = ModelFile::llama();
    let keys = &mut file.metadata;
    keys.set("llama.block_count", 1u32);
    keys.set("llama.context_length", 2000u32);
    keys.set("llama.attention.layer_norm_rms_epsilon", 1e-5f32);
    for (key, value) in [
        ("llama.embedding_length", width),
        ("llama.feed_forward_length", 64),
        ("llama.attention.head_count", heads),
        ("llama.attention.head_count_kv", kv_heads),
        ("llama.attention.key_length", head),
        ("llama.attention.value_length", head),
        ("llama.rope.dimension_count", head & !1),
    ] {
        keys.set(key, value as u32);
    }
    let ones = vec![1.0; width as usize];
    let vector = |file: ModelFile, name: &str| file.with(name, &[width], Format::F32, &ones);
    let matrix = |file: ModelFile, name: &str, shape: [u64; 2]| file.with_gaussian(name, &shape, format);
    file = matrix(file, "token_embd.weight", [width, 96]);
    for name in ["output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"] {
        file = vector(file, name);
    }
    for (name, shape) in [
        ("attn_q", [width, heads * head]),
        ("attn_k", [width, kv_heads * head]),
        ("attn_v", [width, kv_heads * head]),
        ("attn_output", [heads * head, width]),
        ("ffn_gate", [width, 64]),
        ("ffn_up", [width, 64]),
        ("ffn_down", [64, width]),
    ] {
        file = matrix(file, &format!("blk.0.{name}.weight"), shape);
    }
    file.open()
}

/// How attention divides rows and quads among its lanes depends on the width of heads, on how many share a KV
/// head, and on the number of tokens.
#[test]
fn attention_heads_of_every_shape_give_the_reference_logits() {
    let Some(gpu) = gpu() else { return };
    for shape in
        [[1, 1, 32], [3, 1, 64], [4, 4, 80], [7, 1, 96], [8, 4, 128], [2, 1, 256], [32, 1, 4], [8, 2, 20]]
    {
        let file = of_heads(shape);
        let right = Model::from_gguf(&file, &exact(Device::Cpu)).unwrap();
        for (precision, bound) in [(Precision::Exact, EXACT), (Precision::Int8, INT8)] {
            let options = exact(Device::Gpu(gpu.clone())).with_precision(precision);
            // More keys than a tile, in a batch and after it.
            let text = tokens(530, 96);
            let long = |model: &Model| {
                let mut session = Session::new(model).unwrap();
                session.prefill(&text[..520]).unwrap();
                let batch = session.logits().to_vec();
                session.prefill(&text[520..529]).unwrap();
                session.prefill(&text[529..]).unwrap();
                [batch, session.logits().to_vec()].concat()
            };
            let (right_logits, right_long) = (logits(&right), long(&right));
            for found in with_all_kernels(&Model::from_gguf(&file, &options).unwrap()) {
                assert_near(&logits(&found), &right_logits, bound, &format!("{shape:?}, {precision:?}"));
                assert_near(&long(&found), &right_long, bound, &format!("{shape:?}, {precision:?}, long"));
            }
        }
    }
}

/// In the last shape, the unpadded result of attention has rows of whole blocks, and products take it in
/// eight bits.
#[test]
fn attention_heads_that_are_padded_give_the_reference_logits() {
    let Some(gpu) = gpu() else { return };
    for shape in [[16, 16, 2], [16, 1, 6], [16, 4, 18], [32, 8, 17], [32, 16, 3], [16, 2, 30], [32, 4, 65]] {
        let file = of_heads(shape);
        // So many keys that a single token attends to them in KV splits.
        let text = tokens(300, 96);
        let long = |model: &Model| {
            let mut session = Session::new(model).unwrap();
            session.prefill(&text[..290]).unwrap();
            let batch = session.logits().to_vec();
            session.prefill(&text[290..299]).unwrap();
            session.prefill(&text[299..]).unwrap();
            [batch, session.logits().to_vec()].concat()
        };
        for (cache, precision, bound) in [
            (Format::F32, Precision::Exact, EXACT),
            (Format::F16, Precision::Exact, F16_CACHE),
            (Format::F32, Precision::Int8, INT8),
        ] {
            let load = |device: Device, precision: Precision| {
                let mut options = exact(device);
                (options.precision, options.cache_keys, options.cache_values) = (precision, cache, cache);
                Model::from_gguf(&file, &options).unwrap()
            };
            let right = load(Device::Cpu, Precision::Exact);
            let (right_logits, right_long) = (logits(&right), long(&right));
            for found in with_all_kernels(&load(Device::Gpu(gpu.clone()), precision)) {
                let what = format!("{shape:?}, {precision:?}, {cache}");
                assert_near(&logits(&found), &right_logits, bound, &what);
                assert_near(&long(&found), &right_long, bound, &format!("{what}, long"));
            }
        }
    }
}

/// Whether `add_rms_norm_quads` is taken, and how many quads a lane has, depends on the width of rows.
#[test]
fn add_rms_norm_of_every_width_gives_the_reference_logits() {
    let Some(gpu) = gpu() else { return };
    let widths = [(4, Format::F32), (30, Format::F32), (260, Format::F32), (1056, Format::Q8_0)];
    let wide = [(4096, Format::Q4_0), (4128, Format::Q4_0), (8224, Format::Q4_0)];
    for (width, format) in widths.into_iter().chain(wide) {
        let file = of_shape(width, [1, 1, 32], format);
        let right = logits(&Model::from_gguf(&file, &exact(Device::Cpu)).unwrap());
        for (precision, bound) in [(Precision::Exact, EXACT), (Precision::Int8, INT8)] {
            let options = exact(Device::Gpu(gpu.clone())).with_precision(precision);
            for found in with_all_kernels(&Model::from_gguf(&file, &options).unwrap()) {
                assert_near(&logits(&found), &right, bound, &format!("{width} wide, {precision:?}"));
            }
        }
    }
}

/// The kernels that compute activations store them in eight bits too.
#[test]
fn every_architecture_gives_nearly_the_reference_logits_by_int8() {
    let Some(gpu) = gpu() else { return };
    for name in SEEDED {
        let file = with_formats(&gguf::Model::open(seeded(name)).unwrap(), |_| Some(Format::Q8_0));
        let right = logits(&Model::from_gguf(&file, &exact(Device::Cpu)).unwrap());
        let options = exact(Device::Gpu(gpu.clone())).with_precision(Precision::Int8);
        for found in with_all_kernels(&Model::from_gguf(&file, &options).unwrap()) {
            assert_near(&logits(&found), &right, INT8, name);
        }
    }
}

#[test]
fn every_architecture_gives_the_reference_logits_with_each_kv_cache() {
    let Some(gpu) = gpu() else { return };
    for name in SEEDED {
        let mixed = [(Format::F16, Format::F32, F16_CACHE), (Format::F32, Format::F16, F16_CACHE)];
        let same = [(Format::F32, Format::F32, EXACT), (Format::F16, Format::F16, F16_CACHE)];
        for (cache_keys, cache_values, bound) in same.into_iter().chain(mixed) {
            let text = tokens(115, 96);
            let load = |device: Device| {
                let options = exact(device).with_cache_keys(cache_keys).with_cache_values(cache_values);
                Model::load(seeded(name), &options).unwrap()
            };
            // Batches of few tokens, of more rows than a workgroup has, and of more keys than a tile; then
            // one by one.
            let read = |model: &Model| {
                let mut session = Session::new(model).unwrap();
                let mut logits = session.all_logits(&text[..10]).unwrap();
                for some in [&text[10..30], &text[30..110]] {
                    logits.extend(session.all_logits(some).unwrap());
                }
                for &token in &text[110..] {
                    session.prefill(&[token]).unwrap();
                    logits.extend(session.logits());
                }
                logits
            };
            let right = read(&load(Device::Cpu));
            for found in with_all_kernels(&load(Device::Gpu(gpu.clone()))) {
                let what = format!("{name}, {cache_keys} and {cache_values}");
                assert_near(&read(&found), &right, bound, &what);
            }
        }
    }
}

/// Both activations, in the formats of the file and in blocks; with experts there is nothing to fuse.
#[test]
fn fused_kernels_give_the_reference_logits() {
    let Some(gpu) = gpu() else { return };
    let has_subgroups = gpu.device().features().contains(wgpu::Features::SUBGROUP);
    for name in SEEDED {
        let source = gguf::Model::open(seeded(name)).unwrap();
        for file in [with_formats(&source, |_| None), with_formats(&source, |_| Some(Format::Q8_0))] {
            let right = logits(&Model::from_gguf(&file, &exact(Device::Cpu)).unwrap());
            for (precision, bound) in [(Precision::Exact, EXACT), (Precision::Int8, INT8)] {
                let options = exact(Device::Gpu(gpu.clone())).with_precision(precision);
                let model = Model::from_gguf(&file, &options).unwrap().with_kernels_for(false);
                let fused = model.with_fused_kernels(true);
                assert_near(&logits(&fused), &right, bound, &format!("{name}, {precision:?}"));
                if !gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
                    continue;
                }
                let glus = [&model, &fused].map(|model| {
                    let mut session = Session::new(model).unwrap();
                    session.start_profile().unwrap();
                    session.prefill(&[1]).unwrap();
                    let kinds = &session.profile().unwrap().singles.kinds;
                    let count = |wanted: fn(&str) -> bool| {
                        kinds.iter().filter(|kind| wanted(&kind.name)).map(|kind| kind.count).sum::<usize>()
                    };
                    [count(|name| name.starts_with("glu")), count(|name| name.contains("and glu"))]
                });
                let [[apart, 0], found] = glus else { panic!("{name}: {glus:?}") };
                let is_fused = has_subgroups && model.config().experts.is_none();
                assert_eq!(found, if is_fused { [0, apart] } else { [apart, 0] }, "{name}");
            }
        }
    }
}

/// A model that is quantized while it is loaded is the same as one from a file of this type.
#[test]
fn quantizing_while_loading_gives_what_the_file_would() {
    for file_type in [FileType::Q4_K_M, FileType::Q8_0] {
        let source = tiny();
        let plan = Plan::new(&source, &Request::new(file_type)).unwrap();
        let file = plan.tensors().fold(ModelFile::of(source.metadata().clone()), |file, planned| {
            let tensor = source.tensor(planned.from.name()).unwrap();
            let mut bytes = vec![0; tensor.info.bytes() as usize];
            tensor.read_bytes(0, &mut bytes).unwrap();
            let (from, to) = (planned.from.tensor_type(), planned.to.tensor_type());
            if from != to {
                bytes = quantized(to.format().unwrap(), &dequantized(from.format().unwrap(), &bytes));
            }
            file.with_bytes(planned.to.name(), planned.to.shape(), to, bytes)
        });
        let file = file.open();
        let mut cpu_logits = None;
        for device in super::devices() {
            let written = Model::from_gguf(&file, &exact(device.clone())).unwrap();
            let options = exact(device.clone()).with_quantize(file_type);
            let loaded = Model::from_gguf(&source, &options).unwrap();
            assert_eq!(loaded.device_bytes(), written.device_bytes());
            let (loaded, written) = (logits(&loaded), logits(&written));
            assert!(loaded == written, "{file_type} on {device}");
            let right = cpu_logits.get_or_insert_with(|| loaded.clone());
            assert_near(&loaded, right, EXACT, &format!("{file_type} on {device}"));
            assert_ne!(loaded, logits(&Model::from_gguf(&source, &exact(device)).unwrap()));
        }
    }
}

/// Queries, keys and values are one product if they are of one format, else several whose columns are copied
/// together; so are gates and ups.
#[test]
fn stacked_matrices_may_be_of_different_formats() {
    let Some(gpu) = gpu() else { return };
    let source = gguf::Model::open(seeded("qwen2")).unwrap();
    let others = ["attn_k", "ffn_up"];
    let file =
        with_formats(&source, |name| others.iter().any(|other| name.contains(other)).then_some(Format::Q8_0));
    let right = logits(&Model::from_gguf(&file, &exact(Device::Cpu)).unwrap());
    assert_ne!(right, logits(&Model::from_gguf(&source, &exact(Device::Cpu)).unwrap()));
    for precision in [Precision::Exact, Precision::Int8] {
        let options = exact(Device::Gpu(gpu.clone())).with_precision(precision);
        let found = logits(&Model::from_gguf(&file, &options).unwrap());
        let bound = if precision == Precision::Exact { EXACT } else { INT8 };
        assert_near(&found, &right, bound, &format!("{precision:?}"));
    }
}

/// The model with another number in its metadata.
fn with_number(source: &gguf::Model, key: &str, number: impl Into<gguf::Value>) -> gguf::Model {
    let mut metadata = source.metadata().clone();
    metadata.set(key, number);
    let file = source.tensors().fold(ModelFile::of(metadata), |file, tensor| {
        let mut bytes = vec![0; tensor.info.bytes() as usize];
        tensor.read_bytes(0, &mut bytes).unwrap();
        file.with_bytes(tensor.info.name(), tensor.info.shape(), tensor.info.tensor_type(), bytes)
    });
    file.open()
}

/// In the first and the last tile, the rows of a workgroup attend to different keys, and some to none.
#[test]
fn windows_of_every_length_give_the_reference_logits() {
    let Some(gpu) = gpu() else { return };
    let source = gguf::Model::open(seeded("gemma3")).unwrap();
    let text = tokens(200, 96);
    for window in [1u32, 60, 64, 70, 130] {
        let file = with_number(&source, "gemma3.attention.sliding_window", window);
        let read = |model: &Model| {
            let mut session = Session::new(model).unwrap();
            let first = session.all_logits(&text[..33]).unwrap();
            [first, session.all_logits(&text[33..]).unwrap()].concat()
        };
        let right = read(&Model::from_gguf(&file, &exact(Device::Cpu)).unwrap());
        for found in with_all_kernels(&Model::from_gguf(&file, &exact(Device::Gpu(gpu.clone()))).unwrap()) {
            assert_near(&read(&found), &right, EXACT, &format!("a window of {window}"));
        }
    }
}
