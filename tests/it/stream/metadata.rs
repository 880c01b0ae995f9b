//! Keys and names of the new file.

use super::{convert, copy};
use crate::support::{ModelFile, assert_converted, names, tensor_bytes};
use qmill::Error;
use qmill::Format::{F16, F32, Q8_0};
use qmill::error::RequestFault;
use qmill::gguf::{Array, Model, Value};
use qmill::mix::FileType;
use qmill::stream::{Plan, Request};

fn keys(model: &Model) -> Vec<&str> {
    model.metadata().iter().map(|(key, _)| key).collect()
}

fn two_layers() -> ModelFile {
    ModelFile::llama()
        .with_gaussian("token_embd.weight", &[256, 8], F16)
        .with_gaussian("blk.0.attn_q.weight", &[256, 8], F16)
        .with_gaussian("blk.1.attn_q.weight", &[256, 8], F16)
        .with_gaussian("blk.1.attn_norm.weight", &[256], F32)
}

#[test]
fn version_and_file_type_stand_at_the_end() {
    let result = convert(&two_layers().open(), &Request::new(FileType::Q4_K_M));
    assert_eq!(
        keys(&result),
        [
            "general.architecture",
            "llama.block_count",
            "llama.attention.head_count",
            "general.name",
            "general.quantization_version",
            "general.file_type",
        ]
    );
    assert_eq!(result.metadata().get("general.quantization_version"), Some(&Value::U32(2)));
    assert_eq!(result.metadata().get("general.file_type"), Some(&Value::U32(15)));
    assert_eq!(result.metadata().str_of("general.name"), Some("test"));
}

#[test]
fn what_the_user_sets_comes_last_in_that_order() {
    let mut request = Request::new(FileType::Q8_0);
    request.metadata = vec![
        ("new.key".to_owned(), Value::from(true)),
        ("general.name".to_owned(), Value::from("other")),
        ("general.file_type".to_owned(), Value::from(99u32)),
    ];
    let result = convert(&two_layers().open(), &request);
    assert_eq!(
        keys(&result),
        [
            "general.architecture",
            "llama.block_count",
            "llama.attention.head_count",
            "general.quantization_version",
            "new.key",
            "general.name",
            "general.file_type",
        ]
    );
    assert_eq!(result.metadata().bool_of("new.key"), Some(true));
    assert_eq!(result.metadata().str_of("general.name"), Some("other"));
    assert_eq!(result.metadata().u64_of("general.file_type"), Some(99));
}

#[test]
fn a_copy_keeps_bytes_and_file_type() {
    let mut file = two_layers().with_gaussian("quantized.weight", &[256, 2], Q8_0);
    for file_type in [Some(7u32), None] {
        file.metadata.remove("general.file_type");
        if let Some(number) = file_type {
            file.metadata.set("general.file_type", number);
        }
        let model = file.open();
        let result = convert(&model, &copy());
        assert_eq!(result.metadata().u64_of("general.file_type"), file_type.map(u64::from));
        assert_eq!(result.tensors().count(), 5);
        for tensor in result.tensors() {
            let name = tensor.info.name();
            assert_eq!(tensor.info.tensor_type(), model.tensor(name).unwrap().info.tensor_type());
            assert!(tensor_bytes(&result, name) == tensor_bytes(&model, name), "{name}");
        }
    }
}

#[test]
fn tensors_are_put_in_file_order() {
    let model = ModelFile::llama()
        .with_gaussian("blk.10.a.weight", &[32, 2], F16)
        .with_gaussian("blk.2.b.weight", &[32, 2], F16)
        .with_gaussian("output.weight", &[32, 2], F16)
        .with_gaussian("blk.2.a.weight", &[32, 2], F16)
        .with_gaussian("a.weight", &[32, 2], F16)
        .open();
    let result = convert(&model, &Request::new(FileType::Q8_0));
    assert_eq!(
        names(&result),
        ["a.weight", "output.weight", "blk.2.a.weight", "blk.2.b.weight", "blk.10.a.weight"]
    );
    assert_converted(&model, &result);
}

#[test]
fn the_alignment_of_the_source_is_kept() {
    let mut file = ModelFile::llama().with_gaussian("a.weight", &[32, 3], F32).with_gaussian(
        "b.weight",
        &[32, 1, 2],
        F32,
    );
    file.metadata.set("general.alignment", 256u32);
    let model = file.open();
    let result = convert(&model, &Request::new(FileType::Q8_0));
    assert_eq!(result.shards()[0].header().alignment, 256);
    assert_eq!(result.tensors().map(|tensor| tensor.info.offset()).collect::<Vec<_>>(), [0, 256]);
    assert_converted(&model, &result);
}

fn twelve_layers() -> ModelFile {
    let mut file = ModelFile::llama().with_gaussian("token_embd.weight", &[32, 2], F16);
    file.metadata.set("llama.block_count", 12u32);
    (0..12).fold(file, |file, layer| file.with_gaussian(&format!("blk.{layer}.attn_q.weight"), &[32, 2], F16))
}

#[test]
fn layers_are_left_out_and_the_others_move_up() {
    let model = twelve_layers().open();
    let mut request = Request::new(FileType::Q8_0);
    request.prune_layers = [1, 10].into();
    let result = convert(&model, &request);
    assert_eq!(result.metadata().u64_of("llama.block_count"), Some(10));
    let kept = [0, 2, 3, 4, 5, 6, 7, 8, 9, 11];
    let mut expected = vec!["token_embd.weight".to_owned()];
    expected.extend((0..10).map(|layer| format!("blk.{layer}.attn_q.weight")));
    assert_eq!(names(&result), expected);
    // Each has its new name, and the bytes of its layer in a file with all layers.
    let whole = convert(&model, &Request::new(FileType::Q8_0));
    for (new, old) in kept.iter().enumerate() {
        let (new, old) = (format!("blk.{new}.attn_q.weight"), format!("blk.{old}.attn_q.weight"));
        assert!(tensor_bytes(&result, &new) == tensor_bytes(&whole, &old), "{old} as {new}");
    }
}

#[test]
fn a_layer_that_is_not_there_cannot_be_left_out() {
    let mut request = Request::new(FileType::Q8_0);
    request.prune_layers = [3, 12].into();
    let error = Plan::new(&twelve_layers().open(), &request).unwrap_err();
    assert!(matches!(error, Error::Request(RequestFault::PruneLayers { layer: 12, layers: 12 })), "{error}");
}

#[test]
fn what_is_missing_for_the_choice_is_said() {
    let mut file = two_layers();
    assert!(Plan::new(&file.open(), &copy()).unwrap().notes.is_empty());
    file.metadata.remove("llama.attention.head_count");
    let notes = Plan::new(&file.open(), &copy()).unwrap().notes;
    assert!(matches!(notes.as_slice(), [note] if note.contains("llama.attention.head_count")), "{notes:?}");
    // A number for each layer is accepted too.
    file.metadata.set("llama.attention.head_count", Array::from([4i32, 8].as_slice()));
    assert!(Plan::new(&file.open(), &copy()).unwrap().notes.is_empty());
}
