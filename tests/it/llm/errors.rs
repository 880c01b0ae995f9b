//! Errors of files and requests.

use super::{devices, exact, seeded, session, tokens};
use crate::gpu::another_device;
use crate::support::ModelFile;
use qmill::gguf::{self, Metadata};
use qmill::llm::{LoadOptions, Model, Session};
use qmill::mix::FileType;
use qmill::{Device, Error, Format, Gpu};

/// A seeded model with changed metadata. `change` gives each tensor a name and a shape, or drops it.
fn changed(
    name: &str,
    metadata: impl FnOnce(&mut Metadata),
    change: impl Fn(&str, &[u64]) -> Option<(String, Vec<u64>)>,
) -> gguf::Model {
    let source = gguf::Model::open(seeded(name)).unwrap();
    let mut keys = source.metadata().clone();
    metadata(&mut keys);
    let file = source.tensors().fold(ModelFile::of(keys), |file, tensor| {
        match change(tensor.info.name(), tensor.info.shape()) {
            None => file,
            Some((name, shape)) => {
                let mut bytes = vec![0; tensor.info.bytes() as usize];
                tensor.read_bytes(0, &mut bytes).unwrap();
                file.with_bytes(&name, &shape, tensor.info.tensor_type(), bytes)
            }
        }
    });
    file.open()
}

#[expect(clippy::unnecessary_wraps, reason = "a change of a tensor may drop it")]
fn same(name: &str, shape: &[u64]) -> Option<(String, Vec<u64>)> {
    Some((name.to_owned(), shape.to_vec()))
}

#[track_caller]
fn error(file: &gguf::Model) -> String {
    Model::from_gguf(file, &exact(Device::Cpu)).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn an_unknown_architecture_is_named_with_the_known_ones() {
    let file = changed("llama", |keys| keys.set("general.architecture", "mamba"), same);
    // Each has a seeded model, which the tests of parity compare with libllama.
    let known = super::SEEDED.join(", ");
    assert_eq!(error(&file), format!("the architecture is \"mamba\"; qmill runs {known}"));
}

#[test]
fn missing_and_impossible_keys_are_named() {
    let with = |change: fn(&mut Metadata)| error(&changed("llama", change, same));
    assert_eq!(
        with(|keys| {
            keys.remove("llama.embedding_length");
        }),
        "llama.embedding_length should be an integer"
    );
    assert!(
        with(|keys| keys.set("llama.block_count", 0u32))
            .starts_with("llama.block_count should be an integer from 1")
    );
    assert!(
        with(|keys| keys.set("llama.attention.head_count_kv", 3u32))
            .contains("head_count_kv should be a divisor")
    );
    assert!(
        with(|keys| keys.set("llama.rope.dimension_count", 18u32))
            .contains("rope.dimension_count should be even")
    );
    assert!(
        with(|keys| keys.set("llama.rope.scaling.type", "spiral")).contains("the rope scaling is \"spiral\"")
    );
    let experts = changed("qwen3moe", |keys| keys.set("qwen3moe.expert_used_count", 7u32), same);
    assert!(error(&experts).contains("expert_used_count should be no more"));
}

#[test]
fn missing_misshapen_and_unused_tensors_are_named() {
    let without = |missing: &'static str| {
        changed("llama", |_| (), move |name, shape| same(name, shape).filter(|_| name != missing))
    };
    let missing = "there is no tensor blk.1.ffn_up.weight, which the architecture needs";
    assert_eq!(error(&without("blk.1.ffn_up.weight")), missing);
    assert!(error(&without("token_embd.weight")).contains("token_embd.weight"));
    let flat = changed(
        "llama",
        |_| (),
        |name, shape| {
            let is_transposed = name == "blk.0.attn_k.weight";
            Some((
                name.to_owned(),
                if is_transposed { shape.iter().rev().copied().collect() } else { shape.to_vec() },
            ))
        },
    );
    let shape = "blk.0.attn_k.weight has the shape [32, 64]; by the metadata it should be [64, 32]";
    assert_eq!(error(&flat), shape);
    let more = changed(
        "qwen3",
        |_| (),
        |name, shape| same(if name == "output.weight" { "cls.weight" } else { name }, shape),
    );
    assert!(error(&more).contains("a tensor of the file is \"cls.weight\""), "{}", error(&more));
}

#[test]
fn impossible_requests_are_refused_and_change_nothing() {
    for device in devices() {
        let options = exact(device).with_context(10);
        let mut session = session(&seeded("llama"), &options);
        session.prefill(&[1, 2, 3]).unwrap();
        let logits = session.logits().to_vec();
        assert!(matches!(
            session.prefill(&tokens(8, 96)),
            Err(Error::ContextFull { context: 10, needed: 11 })
        ));
        assert!(matches!(session.prefill(&[4, 96]), Err(Error::Number { found: 96, .. })));
        assert!(matches!(session.next_with(|_| 96), Err(Error::Number { found: 96, .. })));
        assert_eq!((session.position(), session.logits()), (3, &logits[..]));
        session.prefill(&[]).unwrap();
        session.prefill(&tokens(7, 96)).unwrap();
        assert!(matches!(session.next_with(|_| 1), Err(Error::ContextFull { .. })));
    }
}

#[test]
fn impossible_options_are_refused() {
    let load = |options: LoadOptions| Model::load(seeded("llama"), &options).map(|_| ());
    let cpu = || exact(Device::Cpu);
    assert!(matches!(load(cpu().with_context(0)), Err(Error::Number { .. })));
    let quantized_keys = load(cpu().with_cache_keys(Format::Q8_0));
    assert!(matches!(quantized_keys, Err(Error::Unsupported { what: "the format of keys", .. })));
    let quantized_values = load(cpu().with_cache_values(Format::Q8_0));
    assert!(matches!(quantized_values, Err(Error::Unsupported { what: "the format of values", .. })));
    // Rows of 64 are not whole blocks, and not every tensor has a fallback format.
    assert!(load(cpu().with_quantize(FileType::Q1_0)).is_err());
    let missing = Model::load("no such file.gguf", &cpu());
    assert!(matches!(missing, Err(Error::Io { .. })));
}

#[test]
fn a_context_too_large_for_the_device_is_refused() {
    let Some(gpu) = super::gpu() else { return };
    let options = exact(Device::Gpu(gpu.clone())).with_context(1 << 31);
    let model = Model::load(seeded("llama"), &options).unwrap();
    let message = Session::new(&model).map(|_| ()).unwrap_err().to_string();
    assert!(message.starts_with("bytes of a layer's cache is 274877906944, not at most"), "{message}");
}

#[test]
fn a_lost_device_is_an_error() {
    let Some((device, queue)) = another_device() else { return };
    let gpu = Gpu::from_device(device, queue).unwrap();
    let mut session = session(&seeded("llama"), &exact(Device::Gpu(gpu.clone())));
    session.prefill(&tokens(3, 96)).unwrap();
    gpu.device().destroy();
    for _ in 0..2 {
        session.prefill(&[1]).unwrap_err();
        Model::load(seeded("llama"), &exact(Device::Gpu(gpu.clone()))).map(|_| ()).unwrap_err();
    }
}
