//! GGUF files: which are refused and at which offset, what is written, and that reading gives it back.

mod malformed;
mod round_trip;
mod split;

use qmill::gguf::{Header, Layout, Metadata, Model, ReadAt, TensorInfo, Writer};
use qmill::{Error, Result};
use std::path::Path;

const TINY_SHAKESPEARE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-shakespeare-f16.gguf");

fn read_header(file: &[u8]) -> Result<Header> {
    Header::read(&file, Path::new("test.gguf"))
}

fn open(file: Vec<u8>) -> Result<Model> {
    Model::from_source("test.gguf", Box::new(file))
}

/// A whole file with data that differ from byte to byte.
fn write(metadata: &Metadata, tensors: Vec<TensorInfo>) -> Vec<u8> {
    let data_bytes: u64 = tensors.iter().map(TensorInfo::bytes).sum();
    let data: Vec<u8> = (0..data_bytes).map(|i| (i % 251 + 1) as u8).collect();
    let mut writer = Writer::new(Vec::new(), Layout::new(metadata, tensors).unwrap()).unwrap();
    writer.write_data(&data).unwrap();
    writer.finish().unwrap()
}

fn tensor_bytes(model: &Model, name: &str) -> Vec<u8> {
    let tensor = model.tensor(name).unwrap();
    let mut bytes = vec![0; tensor.info.bytes() as usize];
    tensor.read_bytes(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_file_reads_the_same_from_disk_and_from_memory() {
    let bytes = std::fs::read(TINY_SHAKESPEARE).unwrap();
    let (disk, memory) = (Model::open(TINY_SHAKESPEARE).unwrap(), open(bytes.clone()).unwrap());
    assert_eq!(disk.shards()[0].header(), memory.shards()[0].header());
    assert_eq!(disk.tensors().count(), 39);

    // The results of another reader.
    assert_eq!(disk.metadata().str_of("general.architecture"), Some("llama"));
    assert_eq!(disk.metadata().u64_of("llama.embedding_length"), Some(256));
    assert_eq!(disk.metadata().bool_of("tokenizer.ggml.add_bos_token"), Some(false));
    assert_eq!(disk.metadata().array_of("tokenizer.ggml.tokens").unwrap().strings().unwrap().count(), 1024);
    let tensor = disk.tensor("blk.0.attn_k.weight").unwrap();
    assert_eq!(
        (tensor.info.row_len(), tensor.info.rows(), tensor.info.tensor_type().name()),
        (256, 128, "F16")
    );
    assert_eq!(tensor_bytes(&disk, "blk.0.attn_k.weight"), bytes[685_440..685_440 + 256 * 128 * 2]);
}

#[test]
fn bytes_beyond_a_tensor_are_refused() {
    let model = Model::open(TINY_SHAKESPEARE).unwrap();
    let tensor = model.tensor("blk.0.attn_norm.weight").unwrap();
    assert!(tensor.read_bytes(1020, &mut [0; 4]).is_ok());
    for (start, len) in [(1021, 4), (0, 1025), (u64::MAX, 1)] {
        let error = tensor.read_bytes(start, &mut vec![0; len]).unwrap_err();
        assert!(matches!(error, Error::TensorRange { bytes: 1024, .. }), "{error}");
    }
}

#[test]
fn reading_memory_past_its_end_fails() {
    let bytes = [1u8, 2, 3];
    let mut buf = [0; 2];
    bytes.as_slice().read_exact_at(&mut buf, 1).unwrap();
    assert_eq!(buf, [2, 3]);
    for offset in [2, 3, u64::MAX] {
        let error = bytes.as_slice().read_exact_at(&mut buf, offset).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
}
