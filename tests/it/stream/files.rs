//! Under the output's name is a whole file or what was there before.

use super::{go_on, resources};
use crate::support::{ModelFile, assert_converted, files_in};
use qmill::Format::F16;
use qmill::gguf::Model;
use qmill::mix::FileType;
use qmill::stream::{Progress, Request, Resources};
use qmill::{Error, Result, quantize_file};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with a model in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        ModelFile::llama()
            .with_gaussian("token_embd.weight", &[256, 40], F16)
            .with_gaussian("blk.0.attn_q.weight", &[256, 40], F16)
            .save(&folder.path("in.gguf"));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn quantize(&self, output: &Path, overwrite: bool) -> Result<()> {
        let request = Request::new(FileType::Q4_K_M);
        quantize_file(&self.path("in.gguf"), output, &request, &Resources::default(), overwrite, &mut go_on)
            .map(|_| ())
    }

    #[track_caller]
    fn assert_whole(&self, output: &Path) {
        assert_converted(&Model::open(self.path("in.gguf")).unwrap(), &Model::open(output).unwrap());
    }

    #[track_caller]
    fn assert_holds(&self, names: &[&str]) {
        assert_eq!(files_in(self.0.path()), names);
    }
}

#[test]
fn while_it_is_written_the_file_has_another_name() {
    let folder = Folder::new();
    let output = folder.path("out.gguf");
    let request = Request::new(FileType::Q4_K_M);
    let mut calls = 0;
    let mut look = |_: &Progress| {
        calls += 1;
        folder.assert_holds(&[".out.gguf.qmill-part", "in.gguf"]);
        ControlFlow::Continue(())
    };
    let input = folder.path("in.gguf");
    let report = quantize_file(&input, &output, &request, &resources(2, 4000), false, &mut look).unwrap();
    assert!(calls > 10, "{calls}");
    folder.assert_holds(&["in.gguf", "out.gguf"]);
    folder.assert_whole(&output);
    assert_eq!(report.file_bytes, fs::metadata(&output).unwrap().len());
}

#[test]
fn a_run_that_is_broken_off_or_fails_leaves_nothing() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.gguf"), folder.path("out.gguf"));
    let request = Request::new(FileType::Q4_K_M);
    let mut stop = |_: &Progress| ControlFlow::Break(());
    let error = quantize_file(&input, &output, &request, &resources(2, 4000), false, &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    folder.assert_holds(&["in.gguf"]);

    let error = quantize_file(&input, &output, &request, &resources(2, 100), false, &mut go_on).unwrap_err();
    assert!(matches!(error, Error::Memory { memory_bytes: 100, .. }), "{error}");
    folder.assert_holds(&["in.gguf"]);

    // An output that was there is still there.
    fs::write(&output, "mine").unwrap();
    let error = quantize_file(&input, &output, &request, &resources(2, 4000), true, &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    folder.assert_holds(&["in.gguf", "out.gguf"]);
    assert_eq!(fs::read(&output).unwrap(), b"mine");
}

#[test]
fn a_progress_that_panics_leaves_nothing() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.gguf"), folder.path("out.gguf"));
    super::in_time(move || {
        let panicked = std::panic::catch_unwind(|| {
            let request = Request::new(FileType::Q4_K_M);
            let mut panics = |_: &Progress| panic!("not the caller's day");
            quantize_file(&input, &output, &request, &resources(2, 4000), false, &mut panics).map(|_| ())
        });
        assert!(panicked.is_err());
        folder.assert_holds(&["in.gguf"]);
    });
}

#[test]
fn an_existing_output_is_replaced_only_when_told_to() {
    let folder = Folder::new();
    let output = folder.path("out.gguf");
    fs::write(&output, "mine").unwrap();
    let error = folder.quantize(&output, false).unwrap_err();
    assert!(matches!(&error, Error::OutputExists { path } if *path == output), "{error}");
    assert_eq!(fs::read(&output).unwrap(), b"mine");
    folder.assert_holds(&["in.gguf", "out.gguf"]);
    folder.quantize(&output, true).unwrap();
    folder.assert_whole(&output);
    folder.assert_holds(&["in.gguf", "out.gguf"]);
}

#[test]
fn the_part_of_a_run_that_was_killed_is_replaced() {
    let folder = Folder::new();
    // Longer than the new file: its end must go.
    fs::write(folder.path(".out.gguf.qmill-part"), vec![1; 1 << 20]).unwrap();
    folder.quantize(&folder.path("out.gguf"), false).unwrap();
    folder.assert_whole(&folder.path("out.gguf"));
    folder.assert_holds(&["in.gguf", "out.gguf"]);
}

#[track_caller]
fn refused_as_input(folder: &Folder, output: &Path) {
    let before = fs::read(folder.path("in.gguf")).unwrap();
    for overwrite in [false, true] {
        let error = folder.quantize(output, overwrite).unwrap_err();
        assert!(matches!(&error, Error::SameFile { path } if path == output), "{error}");
        assert!(fs::read(folder.path("in.gguf")).unwrap() == before);
    }
}

#[test]
fn the_input_is_never_the_output_whatever_it_is_called() {
    let folder = Folder::new();
    refused_as_input(&folder, &folder.path("in.gguf"));
    refused_as_input(&folder, &folder.0.path().join(".").join("in.gguf"));
    let hard = folder.path("hard.gguf");
    fs::hard_link(folder.path("in.gguf"), &hard).unwrap();
    refused_as_input(&folder, &hard);
    #[cfg(unix)]
    {
        let soft = folder.path("soft.gguf");
        std::os::unix::fs::symlink("in.gguf", &soft).unwrap();
        refused_as_input(&folder, &soft);
    }
}

#[test]
fn an_output_where_no_file_can_be_is_refused() {
    let folder = Folder::new();
    let missing = folder.path("missing");
    match folder.quantize(&missing.join("out.gguf"), false) {
        Err(Error::Io { path, source, .. }) => {
            assert_eq!((path, source.kind()), (missing, io::ErrorKind::NotFound));
        }
        other => panic!("{other:?}"),
    }
    match folder.quantize(folder.0.path(), true) {
        Err(Error::Io { path, source, .. }) => {
            assert_eq!((path.as_path(), source.kind()), (folder.0.path(), io::ErrorKind::IsADirectory));
        }
        other => panic!("{other:?}"),
    }
    folder.assert_holds(&["in.gguf"]);
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_are_written_directly() {
    use std::os::unix::fs::FileTypeExt;

    let folder = Folder::new();
    folder.quantize(Path::new("/dev/null"), false).unwrap();
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());

    let pipe = folder.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    folder.quantize(&pipe, false).unwrap();
    let read = folder.path("read.gguf");
    fs::write(&read, reader.join().unwrap()).unwrap();
    folder.assert_whole(&read);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    folder.assert_holds(&["in.gguf", "pipe", "read.gguf"]);
}

/// Everything that can be written to has a limit; here the device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_with_the_file() {
    let folder = Folder::new();
    let error = folder.quantize(Path::new("/dev/full"), false).unwrap_err();
    match error {
        Error::Io { path, action: "write", source } => {
            assert_eq!((path.as_path(), source.kind()), (Path::new("/dev/full"), io::ErrorKind::StorageFull));
        }
        other => panic!("{other}"),
    }
}
