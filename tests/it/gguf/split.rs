//! Models of several files.

use super::{open, tensor_bytes, write};
use qmill::gguf::{Metadata, Model, SplitFault, TensorInfo, TensorType};
use qmill::{Error, Result};
use std::fs;
use std::io;
use std::path::PathBuf;
use tempfile::TempDir;

/// A model of three files in its own folder. Tests damage files before opening it.
struct Split {
    folder: TempDir,
    shards: Vec<(Metadata, Vec<TensorInfo>)>,
}

impl Split {
    fn new() -> Self {
        let shards = (0..3u16).map(|number| {
            let mut metadata = Metadata::new();
            metadata.set("split.no", number);
            metadata.set("split.count", 3u16);
            metadata.set("split.tensors.count", 4i32);
            let names: &[&str] = if number == 0 { &["a", "b"] } else { &[["c"], ["d"]][number as usize - 1] };
            let tensors = names.iter().map(|&name| tensor(name, u64::from(number) + 5)).collect();
            (metadata, tensors)
        });
        Self { folder: tempfile::tempdir().unwrap(), shards: shards.collect() }
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("model-{:05}-of-00003.gguf", number + 1))
    }

    fn write(&self) {
        for (number, (metadata, tensors)) in self.shards.iter().enumerate() {
            fs::write(self.path(number), write(metadata, tensors.clone())).unwrap();
        }
    }

    fn open(&self) -> Result<Model> {
        self.write();
        Model::open(self.path(0))
    }

    #[track_caller]
    fn refused(&self, number: usize, expected: SplitFault) {
        match self.open() {
            Err(Error::Split { path, fault }) => assert_eq!((path, fault), (self.path(number), expected)),
            other => panic!("expected {expected:?}, found {:?}", other.err()),
        }
    }
}

fn tensor(name: &str, length: u64) -> TensorInfo {
    TensorInfo::new(name, [length], TensorType::I8).unwrap()
}

#[test]
fn all_files_are_opened_by_the_first() {
    let split = Split::new();
    let model = split.open().unwrap();
    assert_eq!(model.shards().len(), 3);
    assert_eq!(model.metadata().u64_of("split.no"), Some(0));
    let files: Vec<_> = model.tensors().map(|tensor| (tensor.info.name(), tensor.shard_index)).collect();
    assert_eq!(files, [("a", 0), ("b", 0), ("c", 1), ("d", 2)]);
    assert_eq!(tensor_bytes(&model, "b"), [6, 7, 8, 9, 10]);
    assert_eq!(tensor_bytes(&model, "d"), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn another_file_than_the_first_is_refused() {
    let split = Split::new();
    split.write();
    let error = Model::open(split.path(1)).err().unwrap();
    let fault = SplitFault::NotFirst { number: 1, count: 3 };
    assert!(matches!(&error, Error::Split { fault: found, .. } if *found == fault), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let split = Split::new();
    split.write();
    fs::remove_file(split.path(2)).unwrap();
    match Model::open(split.path(0)) {
        Err(Error::Io { path, source, .. }) => {
            assert_eq!((path, source.kind()), (split.path(2), io::ErrorKind::NotFound));
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn files_out_of_order_are_refused() {
    let mut split = Split::new();
    split.shards.swap(1, 2);
    split.refused(1, SplitFault::Number { expected: 1, found: 2 });
}

#[test]
fn counts_must_agree() {
    let mut split = Split::new();
    split.shards[1].0.set("split.count", 4u16);
    split.refused(1, SplitFault::Count { expected: 3, found: 4 });

    let mut split = Split::new();
    split.shards[0].0.set("split.tensors.count", 5i32);
    split.refused(0, SplitFault::TensorCount { expected: 4, found: 5 });

    let mut split = Split::new();
    split.shards[2].0.remove("split.no");
    split.refused(2, SplitFault::Key { key: "split.no" });
}

#[test]
fn a_tensor_in_two_files_is_refused() {
    let mut split = Split::new();
    split.shards[2].1 = vec![tensor("a", 1)];
    let first = split.path(0);
    split.refused(2, SplitFault::DuplicateTensor { tensor: "a".into(), first });
}

#[test]
fn the_first_file_must_lead_to_the_others() {
    let split = Split::new();
    split.write();
    let renamed = split.folder.path().join("model.gguf");
    fs::rename(split.path(0), &renamed).unwrap();
    let error = Model::open(&renamed).err().unwrap();
    let fault = SplitFault::Name { expected: "-00001-of-00003.gguf".into() };
    assert!(matches!(&error, Error::Split { fault: found, .. } if *found == fault), "{error}");
}

#[test]
fn one_file_of_several_is_no_model() {
    let split = Split::new();
    let (metadata, tensors) = &split.shards[0];
    let error = open(write(metadata, tensors.clone())).err().unwrap();
    let fault = SplitFault::Count { expected: 1, found: 3 };
    assert!(matches!(&error, Error::Split { fault: found, .. } if *found == fault), "{error}");
}
