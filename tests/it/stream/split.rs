//! Models of several files, joined and kept apart.

use super::go_on;
use crate::support::{ModelFile, assert_converted, files_in, gaussian, names};
use qmill::error::OutputFault;
use qmill::gguf::{Metadata, Model, Value};
use qmill::mix::FileType;
use qmill::stream::{Existing, Progress, Request, Resources};
use qmill::{Error, Format, quantize_file};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A model of three files in a folder; the order of its tensors is not that of their names.
struct Split {
    folder: TempDir,
}

impl Split {
    fn new(last_weight: f32) -> Self {
        let split = Self { folder: tempfile::tempdir().unwrap() };
        let numbered = |number: u16| {
            let mut metadata = if number == 0 { ModelFile::llama().metadata } else { Metadata::new() };
            metadata.set("split.no", number);
            metadata.set("split.count", 3u16);
            metadata.set("split.tensors.count", 4i32);
            ModelFile::of(metadata)
        };
        let mut weights = gaussian(9, 64 * 4);
        weights[255] = last_weight;
        let weights = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
        numbered(0)
            .with_gaussian("output.weight", &[64, 8], Format::F16)
            .with_gaussian("blk.1.attn_q.weight", &[64, 4], Format::F16)
            .save(&split.path("in", 1));
        numbered(1).with_gaussian("blk.0.attn_q.weight", &[64, 4], Format::BF16).save(&split.path("in", 2));
        numbered(2)
            .with_bytes("blk.1.attn_k.weight", &[64, 4], Format::F32, weights)
            .save(&split.path("in", 3));
        split
    }

    fn path(&self, name: &str, number: usize) -> PathBuf {
        self.folder.path().join(format!("{name}-{number:05}-of-00003.gguf"))
    }

    fn model(&self) -> Model {
        Model::open(self.path("in", 1)).unwrap()
    }

    fn quantize(&self, output: &Path, keep_split: bool) -> qmill::Result<u64> {
        let request = Request::new(FileType::Q8_0).with_keep_split(keep_split);
        quantize_file(
            &self.path("in", 1),
            output,
            &request,
            &Resources::default(),
            Existing::Refuse,
            &mut go_on,
        )
        .map(|report| report.file_bytes)
    }
}

#[test]
fn several_files_become_one() {
    let split = Split::new(0.0);
    let output = split.folder.path().join("out.gguf");
    let file_bytes = split.quantize(&output, false).unwrap();
    assert_eq!(file_bytes, output.metadata().unwrap().len());
    let result = Model::open(&output).unwrap();
    assert_eq!(result.shards().len(), 1);
    assert!(result.metadata().iter().all(|(key, _)| !key.starts_with("split.")));
    assert_eq!(
        names(&result),
        ["output.weight", "blk.0.attn_q.weight", "blk.1.attn_k.weight", "blk.1.attn_q.weight"]
    );
    assert_converted(&split.model(), &result);
}

#[test]
fn several_files_stay_several() {
    let split = Split::new(0.0);
    let file_bytes = split.quantize(&split.folder.path().join("out.gguf"), true).unwrap();
    let paths = [1, 2, 3].map(|number| split.path("out", number));
    assert_eq!(files_in(split.folder.path()).len(), 6);
    assert_eq!(file_bytes, paths.iter().map(|path| path.metadata().unwrap().len()).sum::<u64>());

    let result = Model::open(&paths[0]).unwrap();
    for (number, shard) in (0u16..).zip(result.shards()) {
        assert_eq!(shard.metadata().get("split.no"), Some(&Value::U16(number)));
        assert_eq!(shard.metadata().get("split.count"), Some(&Value::U16(3)));
        assert_eq!(shard.metadata().get("split.tensors.count"), Some(&Value::I32(4)));
        assert_eq!(shard.metadata().len(), if number == 0 { 9 } else { 3 });
    }
    assert_eq!(result.metadata().u64_of("general.file_type"), Some(7));
    let files: Vec<_> = result.tensors().map(|tensor| (tensor.info.name(), tensor.shard_index)).collect();
    assert_eq!(
        files,
        [
            ("output.weight", 0),
            ("blk.1.attn_q.weight", 0),
            ("blk.0.attn_q.weight", 1),
            ("blk.1.attn_k.weight", 2),
        ]
    );
    assert_converted(&split.model(), &result);
}

#[test]
fn a_fault_in_the_last_file_leaves_none() {
    let split = Split::new(f32::NAN);
    let error = split.quantize(&split.folder.path().join("out.gguf"), true).unwrap_err();
    assert!(matches!(error, Error::NotFinite { row: 3, column: 63, .. }), "{error}");
    assert_eq!(files_in(split.folder.path()).len(), 3);
}

/// The output that an error says is an input.
fn same_file(error: &Error) -> Option<&Path> {
    match error {
        Error::Output { path, fault: OutputFault::SameFile } => Some(path),
        _ => None,
    }
}

#[test]
fn parts_that_are_the_input_or_exist_are_refused() {
    let split = Split::new(0.0);
    let error = split.quantize(&split.folder.path().join("in.gguf"), true).unwrap_err();
    assert_eq!(same_file(&error), Some(&*split.path("in", 1)), "{error}");
    // Any file of the input, not only the first.
    let error = split.quantize(&split.path("in", 3), false).unwrap_err();
    assert_eq!(same_file(&error), Some(&*split.path("in", 3)), "{error}");

    std::fs::write(split.path("out", 2), "mine").unwrap();
    let error = split.quantize(&split.folder.path().join("out.gguf"), true).unwrap_err();
    assert!(
        matches!(&error, Error::Output { path, fault: OutputFault::Exists } if *path == split.path("out", 2)),
        "{error}"
    );
    assert_eq!(std::fs::read(split.path("out", 2)).unwrap(), b"mine");
    assert_eq!(files_in(split.folder.path()).len(), 4);
}

#[test]
fn a_second_run_is_refused_by_any_file_that_the_first_writes() {
    let split = Split::new(0.0);
    let (input, output) = (split.path("in", 1), split.folder.path().join("out.gguf"));
    let request = |keep_split| Request::new(FileType::Q8_0).with_keep_split(keep_split);
    let resources = Resources::default();
    let mut calls = 0;
    let mut second = |_: &Progress| {
        calls += 1;
        for (name, keep_split, path) in
            [(&output, true, split.path("out", 1)), (&split.path("out", 3), false, split.path("out", 3))]
        {
            let error =
                quantize_file(&input, name, &request(keep_split), &resources, Existing::Replace, &mut go_on)
                    .unwrap_err();
            assert!(
                matches!(&error, Error::Output { path: found, fault: OutputFault::InUse } if *found == path),
                "{error}"
            );
        }
        ControlFlow::Continue(())
    };
    quantize_file(&input, &output, &request(true), &resources, Existing::Refuse, &mut second).unwrap();
    assert_eq!(calls, 4);
    assert_eq!(files_in(split.folder.path()).len(), 6);
    assert_converted(&split.model(), &Model::open(split.path("out", 1)).unwrap());
}

/// The first of several files is renamed last: without it the others are not taken for a model.
#[test]
fn when_a_name_cannot_be_given_none_is() {
    let split = Split::new(0.0);
    let (input, output) = (split.path("in", 1), split.folder.path().join("out.gguf"));
    let request = Request::new(FileType::Q8_0).with_keep_split(true);
    std::fs::write(split.path("out", 1), "older").unwrap();
    let mut occupy = |_: &Progress| {
        // A file cannot replace a folder.
        let _ = std::fs::create_dir(split.path("out", 2));
        ControlFlow::Continue(())
    };
    let error =
        quantize_file(&input, &output, &request, &Resources::default(), Existing::Replace, &mut occupy)
            .unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == split.path("out", 2)), "{error}");
    let left: Vec<_> =
        files_in(split.folder.path()).into_iter().filter(|name| !name.starts_with("in")).collect();
    assert_eq!(left, ["out-00002-of-00003.gguf"]);
}

/// As in llama-quantize, the name says that there are no other files.
#[test]
fn one_file_kept_apart_is_the_first_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.gguf"), folder.path().join("out.gguf"));
    ModelFile::llama().with_gaussian("a.weight", &[64, 4], Format::F16).save(&input);
    let request = Request::new(FileType::Q8_0).with_keep_split(true);
    quantize_file(&input, &output, &request, &Resources::default(), Existing::Refuse, &mut go_on).unwrap();
    assert_eq!(files_in(folder.path()), ["in.gguf", "out-00001-of-00001.gguf"]);
    let result = Model::open(folder.path().join("out-00001-of-00001.gguf")).unwrap();
    assert!(result.metadata().iter().all(|(key, _)| !key.starts_with("split.")));
    assert_converted(&Model::open(&input).unwrap(), &result);
}
