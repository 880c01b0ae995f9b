//! The output is a complete file or the earlier one.

use super::{go_on, resources};
use crate::support::{ModelFile, assert_converted, files_in};
use qmill::Format::F16;
use qmill::error::OutputFault;
use qmill::gguf::Model;
use qmill::mix::FileType;
use qmill::stream::{Existing, Progress, Request, Resources};
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

    fn quantize(&self, output: &Path, existing: Existing) -> Result<()> {
        let request = Request::new(FileType::Q4_K_M);
        quantize_file(&self.path("in.gguf"), output, &request, &Resources::default(), existing, &mut go_on)
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
    let report =
        quantize_file(&input, &output, &request, &resources(2, 4000), Existing::Refuse, &mut look).unwrap();
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
    let error = quantize_file(&input, &output, &request, &resources(2, 4000), Existing::Refuse, &mut stop)
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    folder.assert_holds(&["in.gguf"]);

    let error = quantize_file(&input, &output, &request, &resources(2, 100), Existing::Refuse, &mut go_on)
        .unwrap_err();
    assert!(matches!(error, Error::Memory { memory_bytes: 100, .. }), "{error}");
    folder.assert_holds(&["in.gguf"]);

    // An earlier output is kept.
    fs::write(&output, "mine").unwrap();
    let error = quantize_file(&input, &output, &request, &resources(2, 4000), Existing::Replace, &mut stop)
        .unwrap_err();
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
            quantize_file(&input, &output, &request, &resources(2, 4000), Existing::Refuse, &mut panics)
                .map(|_| ())
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
    let error = folder.quantize(&output, Existing::Refuse).unwrap_err();
    assert!(
        matches!(&error, Error::Output { path, fault: OutputFault::Exists } if *path == output),
        "{error}"
    );
    assert_eq!(fs::read(&output).unwrap(), b"mine");
    folder.assert_holds(&["in.gguf", "out.gguf"]);
    folder.quantize(&output, Existing::Replace).unwrap();
    folder.assert_whole(&output);
    folder.assert_holds(&["in.gguf", "out.gguf"]);
}

#[test]
fn the_part_of_a_run_that_was_killed_is_replaced() {
    let folder = Folder::new();
    // Longer than the new file, so it must be truncated.
    fs::write(folder.path(".out.gguf.qmill-part"), vec![1; 1 << 20]).unwrap();
    folder.quantize(&folder.path("out.gguf"), Existing::Refuse).unwrap();
    folder.assert_whole(&folder.path("out.gguf"));
    folder.assert_holds(&["in.gguf", "out.gguf"]);
}

#[test]
fn a_second_run_with_the_same_output_is_refused_while_the_first_lives() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.gguf"), folder.path("out.gguf"));
    let request = Request::new(FileType::Q4_K_M);
    let mut names = vec![output.clone(), folder.0.path().join(".").join("out.gguf")];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("out.gguf", folder.path("soft.gguf")).unwrap();
        names.push(folder.path("soft.gguf"));
    }
    let mut second = |_: &Progress| {
        for name in &names {
            let error = folder.quantize(name, Existing::Replace).unwrap_err();
            assert!(
                matches!(&error, Error::Output { path, fault: OutputFault::InUse } if path == name),
                "{error}"
            );
        }
        ControlFlow::Continue(())
    };
    quantize_file(&input, &output, &request, &resources(2, 4000), Existing::Refuse, &mut second).unwrap();
    folder.assert_whole(&output);
    // The first run has ended, so the next one may write.
    folder.quantize(&output, Existing::Replace).unwrap();
    folder.assert_whole(&output);
    assert!(files_in(folder.0.path()).iter().all(|name| !name.ends_with("part")));
}

/// A file that is created after the run has checked.
#[test]
fn an_output_that_appears_while_it_is_written_is_kept() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.gguf"), folder.path("out.gguf"));
    let request = Request::new(FileType::Q4_K_M);
    let mut make = |_: &Progress| {
        fs::write(&output, "mine").unwrap();
        ControlFlow::Continue(())
    };
    let error = quantize_file(&input, &output, &request, &resources(2, 4000), Existing::Refuse, &mut make)
        .unwrap_err();
    assert!(
        matches!(&error, Error::Output { path, fault: OutputFault::Exists } if *path == output),
        "{error}"
    );
    assert_eq!(fs::read(&output).unwrap(), b"mine");
    folder.assert_holds(&["in.gguf", "out.gguf"]);
}

#[cfg(unix)]
#[test]
fn a_link_stays_and_what_it_leads_to_is_replaced() {
    use std::os::unix::fs::symlink;

    let folder = Folder::new();
    fs::create_dir(folder.path("other")).unwrap();
    symlink("other/second", folder.path("link.gguf")).unwrap();
    symlink("target.gguf", folder.path("other/second")).unwrap();
    let (link, target) = (folder.path("link.gguf"), folder.path("other/target.gguf"));
    for there in [false, true] {
        // A link without a target counts as an existing file.
        let error = folder.quantize(&link, Existing::Refuse).unwrap_err();
        assert!(
            matches!(&error, Error::Output { path, fault: OutputFault::Exists } if *path == link),
            "{error}"
        );
        assert_eq!(target.exists(), there);
        folder.quantize(&link, Existing::Replace).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("other/second"));
        assert_eq!(fs::read_link(folder.path("other/second")).unwrap(), Path::new("target.gguf"));
        folder.assert_whole(&target);
        folder.assert_holds(&["in.gguf", "link.gguf", "other"]);
        assert_eq!(files_in(&folder.path("other")), ["second", "target.gguf"]);
        fs::write(&target, "older").unwrap();
    }
    // While it is written, the part lies beside the target.
    let request = Request::new(FileType::Q4_K_M);
    let mut look = |_: &Progress| {
        assert_eq!(files_in(&folder.path("other")), [".target.gguf.qmill-part", "second", "target.gguf"]);
        assert_eq!(fs::read(&link).unwrap(), b"older");
        ControlFlow::Continue(())
    };
    quantize_file(
        &folder.path("in.gguf"),
        &link,
        &request,
        &resources(2, 4000),
        Existing::Replace,
        &mut look,
    )
    .unwrap();
    folder.assert_whole(&link);

    symlink("circle", folder.path("circle")).unwrap();
    for existing in [Existing::Refuse, Existing::Replace] {
        let error = folder.quantize(&folder.path("circle"), existing).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
    }
    symlink("missing/out.gguf", folder.path("astray")).unwrap();
    match folder.quantize(&folder.path("astray"), Existing::Replace) {
        Err(Error::Io { path, source, .. }) => {
            assert_eq!((path, source.kind()), (folder.path("missing"), io::ErrorKind::NotFound));
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused_as_input(folder: &Folder, output: &Path) {
    let before = fs::read(folder.path("in.gguf")).unwrap();
    for existing in [Existing::Refuse, Existing::Replace] {
        let error = folder.quantize(output, existing).unwrap_err();
        assert!(
            matches!(&error, Error::Output { path, fault: OutputFault::SameFile } if path == output),
            "{error}"
        );
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
    match folder.quantize(&missing.join("out.gguf"), Existing::Refuse) {
        Err(Error::Io { path, source, .. }) => {
            assert_eq!((path, source.kind()), (missing, io::ErrorKind::NotFound));
        }
        other => panic!("{other:?}"),
    }
    match folder.quantize(folder.0.path(), Existing::Replace) {
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
    for existing in [Existing::Refuse, Existing::Replace] {
        folder.quantize(Path::new("/dev/null"), existing).unwrap();
    }
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());

    let pipe = folder.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    // A link to a pipe is written directly, even if it may be replaced.
    std::os::unix::fs::symlink("pipe", folder.path("link")).unwrap();
    folder.quantize(&folder.path("link"), Existing::Replace).unwrap();
    assert!(fs::symlink_metadata(folder.path("link")).unwrap().is_symlink());
    let read = folder.path("read.gguf");
    fs::write(&read, reader.join().unwrap()).unwrap();
    folder.assert_whole(&read);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    folder.assert_holds(&["in.gguf", "link", "pipe", "read.gguf"]);
}

/// The device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_with_the_file() {
    let folder = Folder::new();
    let error = folder.quantize(Path::new("/dev/full"), Existing::Refuse).unwrap_err();
    match error {
        Error::Io { path, action: "write", source } => {
            assert_eq!((path.as_path(), source.kind()), (Path::new("/dev/full"), io::ErrorKind::StorageFull));
        }
        other => panic!("{other}"),
    }
}
