//! Variants of the seeded models against libllama, with optional keys and tensors, as
//! `tests/real/record_llm.py` recorded them.

use super::{TINY_SHAKESPEARE, argmax, assert_near, exact, magnitude, seeded};
use crate::gpu::gpu;
use crate::support::{ModelFile, dequantized, tensor_bytes};
use qmill::gguf::{self, Array, Metadata};
use qmill::llm::{Model, Session, shaders};
use qmill::{Device, Error, FORMATS, Format};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// As for the seeded models: how far logits may be from libllama's, relative to the largest.
const BOUND: f32 = 5e-5;
const GELU_BOUND: f32 = 1e-3;

fn variants() -> Map<String, Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/llm/variants.json");
    match serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap() {
        Value::Object(variants) => variants,
        other => panic!("{other}"),
    }
}

fn list<'a>(variant: &'a Value, key: &str) -> &'a [Value] {
    variant[key].as_array().map_or(&[], Vec::as_slice)
}

fn float(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(float).collect()
}

fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
}

/// The weights of `formula` in `record_llm.py`.
fn formula(seed: u64, count: usize, middle: f32, spread: f32) -> Vec<f32> {
    let first = seed.wrapping_mul(0x9e37_79b9) as u32;
    let weight = |i: u32| {
        let mut x = i.wrapping_add(first);
        for (shift, factor) in [(16, 0x7feb_352d), (15, 0x846c_a68b)] {
            x = (x ^ (x >> shift)).wrapping_mul(factor);
        }
        x ^= x >> 16;
        let unit = (x >> 8) as f32 / 16_777_216.0 - 0.5;
        middle + unit * spread
    };
    (0..count as u32).map(weight).collect()
}

fn set(metadata: &mut Metadata, key: &str, value: &Value) {
    let (kind, value) = (value[0].as_str().unwrap(), &value[1]);
    match kind {
        "u32" => metadata.set(key, value.as_u64().unwrap() as u32),
        "f32" => metadata.set(key, float(value)),
        "str" => metadata.set(key, value.as_str().unwrap()),
        "bools" => {
            let flags: Vec<bool> =
                value.as_array().unwrap().iter().map(|flag| flag.as_bool().unwrap()).collect();
            metadata.set(key, Array::from(flags.as_slice()));
        }
        other => panic!("{other}"),
    }
}

/// A model with keys set and removed and with tensors dropped, as `change` says.
fn changed(base: &gguf::Model, change: &Value) -> ModelFile {
    let mut metadata = base.metadata().clone();
    for key in list(change, "remove") {
        metadata.remove(key.as_str().unwrap()).unwrap();
    }
    for (key, value) in change["set"].as_object().into_iter().flatten() {
        set(&mut metadata, key, value);
    }
    let is_dropped = |name: &str| {
        list(change, "drop").iter().map(|pattern| pattern.as_str().unwrap()).any(|pattern| {
            match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            }
        })
    };
    let kept = base.tensors().filter(|tensor| !is_dropped(tensor.info.name()));
    kept.fold(ModelFile::of(metadata), |file, tensor| {
        let bytes = tensor_bytes(base, tensor.info.name());
        file.with_bytes(tensor.info.name(), tensor.info.shape(), tensor.info.tensor_type(), bytes)
    })
}

/// The seeded model that a variant starts from, with its cuts.
fn base_file(variant: &Value) -> gguf::Model {
    let base = gguf::Model::open(seeded(variant["base"].as_str().unwrap())).unwrap();
    changed(&base, &variant["cut"]).open()
}

/// The recorded file.
fn variant_file(variant: &Value) -> gguf::Model {
    let file = changed(&base_file(variant), variant);
    let added = list(variant, "add").iter().fold(file, |file, added| {
        let shape: Vec<u64> = tokens(&added["shape"]).into_iter().rev().map(u64::from).collect();
        let count = shape.iter().product::<u64>() as usize;
        let seed = added["seed"].as_u64().unwrap();
        let weights = formula(seed, count, float(&added["middle"]), float(&added["spread"]));
        file.with(added["name"].as_str().unwrap(), &shape, Format::F32, &weights)
    });
    added.open()
}

/// The model on the CPU, and on the GPU with the kernels for GPUs and for software adapters.
fn everywhere(file: &gguf::Model) -> Vec<(String, Model)> {
    let load = |device: Device| Model::from_gguf(file, &exact(device)).unwrap();
    let mut models = vec![("the CPU".to_owned(), load(Device::Cpu))];
    if let Some(gpu) = gpu() {
        let model = load(Device::Gpu(gpu.clone()));
        for software_adapter in [false, true] {
            models.push((
                format!("{}, kernels for a software adapter: {software_adapter}", model.device()),
                model.with_kernels_for(software_adapter),
            ));
        }
    }
    models
}

/// The logits after a prompt, on the CPU.
fn logits_of(file: &gguf::Model, prompt: &[u32]) -> Vec<f32> {
    let mut session = Session::new(&Model::from_gguf(file, &exact(Device::Cpu)).unwrap()).unwrap();
    session.prefill(prompt).unwrap();
    session.logits().to_vec()
}

#[test]
fn variants_continue_as_in_libllama() {
    let mut compared = 0;
    for (name, variant) in variants() {
        let file = variant_file(&variant);
        let is_gemma = variant["base"] == "gemma3";
        let bound = if is_gemma { GELU_BOUND } else { BOUND };
        for (device, model) in everywhere(&file) {
            let mut session = Session::new(&model).unwrap();
            for record in list(&variant, "records") {
                session.rewind(0).unwrap();
                session.prefill(&tokens(&record["prompt"])).unwrap();
                let what = format!("{name} on {device} after {} tokens", session.position());
                let right = floats(&record["logits"]);
                assert_near(session.logits(), &right, bound, &what);
                let least = 2.0 * bound * magnitude(&right);
                for (token, lead) in tokens(&record["tokens"]).into_iter().zip(floats(&record["leads"])) {
                    if lead > least {
                        assert_eq!(argmax(session.logits()), token, "{what}, at {}", session.position());
                        compared += 1;
                    }
                    session.prefill(&[token]).unwrap();
                }
            }
        }
    }
    assert!(compared > 27 * 50, "{compared}");
}

/// A record proves nothing if the base model has the same logits.
#[test]
fn a_variant_is_not_its_base_unless_it_should_be() {
    let mut same = Vec::new();
    for (name, variant) in variants() {
        let record = &list(&variant, "records")[2];
        let right = floats(&record["logits"]);
        let logits = logits_of(&base_file(&variant), &tokens(&record["prompt"]));
        let off =
            logits.iter().zip(&right).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / magnitude(&right);
        if variant["same"] == true {
            assert!(off < GELU_BOUND, "{name}: {off}");
            same.push(name);
        } else {
            assert!(off > 5.0 * GELU_BOUND, "{name}: {off}");
        }
    }
    same.sort_unstable();
    assert_eq!(same, ["cap_in_a_llama", "cap_of_zero", "experts_without_a_length", "no_rope_scaling"]);
}

#[test]
fn variants_have_valid_shaders() {
    let mut kinds = Vec::new();
    for name in ["heads_of_17", "heads_of_18", "heads_of_22_with_norms", "cap_of_four"] {
        let file = variant_file(&variants()[name]);
        let model = Model::from_gguf(&file, &exact(Device::Cpu)).unwrap();
        for (name, wgsl) in shaders(&model) {
            super::shaders::check(&name, &wgsl);
            kinds.push(name.split('.').next().unwrap().to_owned());
        }
    }
    assert!(["unpad_heads", "softcap"].iter().all(|name| kinds.iter().any(|kind| kind == name)), "{kinds:?}");
}

/// A seeded model with one more key, or another value.
fn with_key(name: &str, key: &str, value: impl Into<gguf::Value>) -> gguf::Model {
    let mut file = changed(&gguf::Model::open(seeded(name)).unwrap(), &Value::Null);
    file.metadata.set(key, value);
    file.open()
}

fn load(file: &gguf::Model) -> Result<Model, Error> {
    Model::from_gguf(file, &exact(Device::Cpu))
}

#[test]
fn ordinary_files_draw_no_warning() {
    let paths = super::SEEDED.map(seeded).into_iter().chain([TINY_SHAKESPEARE.to_owned()]);
    for path in paths {
        let model = Model::load(&path, &exact(Device::Cpu)).unwrap();
        let own = format!("{}.", model.config().architecture);
        assert!(model.metadata().iter().filter(|(key, _)| key.starts_with(&own)).count() >= 8, "{path}");
        assert_eq!(model.warnings(), [""; 0], "{path}");
    }
}

#[test]
fn a_key_without_effect_in_the_architecture_draws_a_warning() {
    let warnings = |name: &str, key: &str, value: gguf::Value| {
        let file = with_key(name, key, value);
        load(&file).unwrap().warnings().to_vec()
    };
    let softcap = warnings("llama", "llama.final_logit_softcapping", 0.01f32.into());
    let text =
        "llama.final_logit_softcapping = 0.01 is ignored: a model of the architecture llama has no such part";
    assert_eq!(softcap, [text]);
    for (name, key, value) in [
        ("llama", "llama.attention.sliding_window", gguf::Value::from(4096u32)),
        ("gemma3", "gemma3.attn_logit_softcapping", 50.0f32.into()),
        ("gemma3", "gemma3.router_logit_softcapping", 50.0f32.into()),
        ("qwen3", "qwen3.rope.scaling.yarn_beta_fast", 16.0f32.into()),
        ("qwen3moe", "qwen3moe.expert_weights_norm", false.into()),
        ("qwen3moe", "qwen3moe.expert_gating_func", 2u32.into()),
        ("qwen3moe", "qwen3moe.expert_weights_scale", 2.5f32.into()),
        // Unknown to libllama too.
        ("qwen2", "qwen2.colour", "green".into()),
    ] {
        let found = warnings(name, key, value);
        assert!(found.len() == 1 && found[0].starts_with(key), "{key}: {found:?}");
    }
}

#[test]
fn a_value_that_means_no_effect_draws_no_warning() {
    for (name, key, value) in [
        ("llama", "llama.final_logit_softcapping", gguf::Value::from(0.0f32)),
        ("llama", "llama.attention.sliding_window", 0u32.into()),
        ("llama", "llama.expert_count", 0u32.into()),
        ("llama", "llama.expert_used_count", 0u32.into()),
        ("llama", "llama.tensor_data_layout", "Meta AI original pth".into()),
        ("llama", "llama.attention.causal", true.into()),
        ("llama", "llama.rope.scaling.original_context_length", 64u32.into()),
        ("qwen3", "qwen3.rope.scaling.finetuned", true.into()),
        ("qwen3", "qwen3.rope.scaling.yarn_beta_fast", 32.0f32.into()),
        ("qwen3moe", "qwen3moe.expert_weights_norm", true.into()),
        ("gemma3", "gemma3.vision.block_count", 27u32.into()),
        ("gemma3", "gemma3.mm.tokens_per_image", 256u32.into()),
    ] {
        let model = load(&with_key(name, key, value)).unwrap();
        assert_eq!(model.warnings(), [""; 0], "{key}");
    }
}

#[test]
fn an_unknown_key_of_attention_rope_or_experts_is_refused() {
    for (name, key) in [
        ("llama", "llama.rope.spin"),
        ("llama", "llama.rope.scaling.beta"),
        ("qwen3", "qwen3.attention.temper"),
        ("qwen3", "qwen3.attn_bias_scale"),
        ("qwen3moe", "qwen3moe.expert_dropout"),
        ("qwen3moe", "qwen3moe.experts.temper"),
        ("qwen3moe", "qwen3moe.router.noise"),
        ("qwen3moe", "qwen3moe.router_noise"),
        ("gemma3", "gemma3.rope.local.freq_base"),
    ] {
        let error = load(&with_key(name, key, 3.5f32)).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{key}: {error}");
        assert!(error.to_string().contains(&format!("{key} = 3.5")), "{error}");
        assert!(error.to_string().contains("attention.head_count"), "{error}");
    }
}

#[test]
fn an_unsupported_value_is_refused() {
    let refused: [(&str, &str, gguf::Value); 6] = [
        ("llama", "llama.attention.causal", false.into()),
        ("llama", "llama.nextn_predict_layers", 1u32.into()),
        ("qwen3moe", "qwen3moe.expert_group_count", 2u32.into()),
        ("gemma3", "gemma3.attention.key_length_swa", 8u32.into()),
        ("gemma3", "gemma3.rope.dimension_count_swa", 8u32.into()),
        ("llama", "llama.rope.scaling.type", "longrope".into()),
    ];
    for (name, key, value) in refused {
        let error = load(&with_key(name, key, value)).map(|_| ()).unwrap_err().to_string();
        let known = error.contains(key.split_once('.').unwrap().1) || error.contains("longrope");
        assert!(known, "{key}: {error}");
    }
    // So are a value of another type, and layers that differ.
    let array = |floats: &[f32]| gguf::Value::from(Array::from(floats));
    for (key, value) in [
        ("llama.rope.scaling.type", gguf::Value::from(1u32)),
        ("llama.rope.scaling.factor", array(&[1.0, 2.0])),
        ("llama.rope.freq_base", 10_000u32.into()),
        ("llama.attention.head_count_kv", array(&[])),
    ] {
        let error = load(&with_key("llama", key, value)).map(|_| ()).unwrap_err();
        assert!(matches!(&error, Error::MetadataKey { key: found, .. } if found == key), "{key}: {error}");
    }
}

#[test]
fn the_program_shows_warnings_on_standard_error() {
    let mut file = changed(&gguf::Model::open(TINY_SHAKESPEARE).unwrap(), &Value::Null);
    file.metadata.set("llama.final_logit_softcapping", 0.01f32);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cap.gguf");
    file.save(&path);
    let run = |path: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qmill"));
        let words = ["run", "--device", "cpu", "-p", "ROMEO:", "-n", "4", "--temp", "0", "--json", "-m"];
        command.args(words).arg(path).stdin(Stdio::null()).output().unwrap()
    };
    let (capped, free) = (run(&path), run(Path::new(TINY_SHAKESPEARE)));
    let text = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).unwrap()["text"].clone();
    assert_eq!(text(&capped), text(&free));
    let warning = "qmill: warning: llama.final_logit_softcapping = 0.01 is ignored: ";
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said(&capped).starts_with(warning), "{}", said(&capped));
    assert!(!said(&free).contains("warning"), "{}", said(&free));
}

/// Some programs' files hold tensors for images beside the text's model.
#[test]
fn tensors_for_images_are_skipped_with_a_warning() {
    let base = gguf::Model::open(seeded("gemma3")).unwrap();
    let file = changed(&base, &Value::Null);
    let more = ["v.blk.0.attn_q.weight", "mm.mm_input_projection.weight"];
    let with_more = more.iter().fold(file, |file, name| file.with(name, &[4, 4], Format::F32, &[1.0; 16]));
    let model = load(&with_more.open()).unwrap();
    assert_eq!(model.warnings(), ["2 tensors for images or sound are not loaded: the model takes text"]);
    let prompt = [5, 6, 7];
    assert_eq!(logits_of(&with_more.open(), &prompt), logits_of(&base, &prompt));
}

/// Zero bytes are rows of zero weights in block formats too.
#[test]
fn padding_of_heads_is_zero_in_every_format() {
    for info in FORMATS {
        let zeros = vec![0; info.format.bytes_for(1024) as usize];
        assert!(dequantized(info.format, &zeros).iter().all(|&x| x == 0.0), "{}", info.format);
    }
    let variant = &variants()["heads_of_18"];
    let source = variant_file(variant);
    let mut found = BTreeMap::new();
    for format in
        [Format::F32, Format::F16, Format::BF16, Format::Q8_0, Format::Q4_0, Format::Q5_1, Format::MXFP4]
    {
        let file = source.tensors().fold(ModelFile::of(source.metadata().clone()), |file, tensor| {
            let (name, shape) = (tensor.info.name(), tensor.info.shape());
            let bytes = tensor_bytes(&source, name);
            let is_qkv = ["attn_q", "attn_k", "attn_v"].iter().any(|part| name.contains(part));
            if is_qkv && format != Format::F32 {
                let weights: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
                return file.with(name, shape, format, &weights);
            }
            file.with_bytes(name, shape, tensor.info.tensor_type(), bytes)
        });
        let (file, prompt) = (file.open(), [5, 60, 7, 33, 34, 35]);
        let right = logits_of(&file, &prompt);
        for (device, model) in everywhere(&file) {
            let mut session = Session::new(&model).unwrap();
            session.prefill(&prompt).unwrap();
            assert_near(session.logits(), &right, 2e-5, &format!("{format} on {device}"));
        }
        found.insert(format.to_string(), right);
    }
    let exact = found.remove("F32").unwrap();
    for (format, logits) in found {
        // The difference is that of the quantized weights.
        assert_near(&logits, &exact, 0.8, &format);
        assert_ne!(logits, exact, "{format}");
    }
}
