//! Paths of inputs and outputs.

use super::Folder;
use crate::support::{ModelFile, assert_converted, names};
use qmill::Format::F16;
use qmill::gguf::Metadata;
use std::fs;

/// Only `gguf` after a dot is an extension.
#[test]
fn the_default_output_keeps_a_dot_in_the_name() {
    for (input, output) in [
        ("llama-3.1", "llama-3.1-Q4_0.gguf"),
        ("llama-3.1.gguf", "llama-3.1-Q4_0.gguf"),
        ("llama-3.1.GGUF", "llama-3.1-Q4_0.gguf"),
        ("m-00001-of-00002.bak.gguf", "m-00001-of-00002.bak-Q4_0.gguf"),
    ] {
        let folder = Folder::new();
        fs::rename(folder.path("in.gguf"), folder.path(input)).unwrap();
        folder.done(&format!("quantize {input} Q4_0"));
        let mut files = [input, output];
        files.sort_unstable();
        assert_eq!(folder.files(), files);
    }
}

/// File names are bytes; these are not UTF-8.
#[cfg(target_os = "linux")]
#[test]
fn names_may_have_any_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    let folder = Folder::new();
    let names = || -> Vec<Vec<u8>> {
        let entries = fs::read_dir(folder.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_vec()).collect();
        names.sort();
        names
    };
    let run = |words: &[&[u8]]| {
        let output =
            folder.command("").args(words.iter().map(|word| OsStr::from_bytes(word))).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    fs::rename(folder.path("in.gguf"), folder.0.path().join(OsStr::from_bytes(b"in\xff.gguf"))).unwrap();
    run(&[b"quantize", b"in\xff.gguf", b"Q8_0"]);
    run(&[b"quantize", b"in\xff.gguf", b"\xfeout", b"Q8_0", b"1"]);
    run(&[b"quantize", b"--keep-split", b"in\xff.gguf", b"\xfdout.gguf", b"Q8_0"]);
    run(&[b"dequantize", b"\xfeout", b"\xfcout"]);
    run(&[b"inspect", b"--json", b"\xfeout"]);
    run(&[b"compare", b"\xfeout", b"\xfcout"]);
    assert_eq!(
        names(),
        [&b"in\xff-Q8_0.gguf"[..], b"in\xff.gguf", b"\xfcout", b"\xfdout-00001-of-00001.gguf", b"\xfeout"]
    );
    let folder = split_in_two(b"m\xff");
    let output = folder
        .command("quantize")
        .args([OsStr::from_bytes(b"m\xff-00001-of-00002.gguf"), OsStr::new("Q8_0")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(folder.0.path().join(OsStr::from_bytes(b"m\xff-Q8_0.gguf")).exists());
}

/// A model of the two files NAME-00001-of-00002.gguf and NAME-00002-of-00002.gguf, and nothing else.
#[cfg(unix)]
fn split_in_two(name: &[u8]) -> Folder {
    use std::os::unix::ffi::OsStrExt;

    let folder = Folder::with(&ModelFile::llama());
    fs::remove_file(folder.path("in.gguf")).unwrap();
    for (number, tensor) in ["a.weight", "b.weight"].into_iter().enumerate() {
        let mut metadata = if number == 0 { ModelFile::llama().metadata } else { Metadata::new() };
        metadata.set("split.no", number as u16);
        metadata.set("split.count", 2u16);
        metadata.set("split.tensors.count", 2i32);
        let mut file = name.to_vec();
        file.extend(format!("-0000{}-of-00002.gguf", number + 1).bytes());
        let path = folder.0.path().join(std::ffi::OsStr::from_bytes(&file));
        ModelFile::of(metadata).with_gaussian(tensor, &[32, 2], F16).save(&path);
    }
    folder
}

#[cfg(unix)]
#[test]
fn the_names_of_all_files_of_a_split_output_are_told() {
    let folder = split_in_two(b"m");
    let names = ["out-00001-of-00002.gguf", "out-00002-of-00002.gguf"];
    for flags in ["--dry-run", "--force"] {
        let said = folder.done(&format!("quantize --keep-split {flags} m-00001-of-00002.gguf out.gguf Q8_0"));
        let last = said.lines().last().unwrap();
        assert!(last.ends_with(&format!(": 2 files, {} to {}", names[0], names[1])), "{last}");
        let words = format!("quantize --keep-split --json {flags} m-00001-of-00002.gguf out.gguf Q8_0");
        let result = super::json_lines(&folder.done(&words)).pop().unwrap();
        assert_eq!(result["output"], names[0]);
        assert_eq!(result["outputs"], serde_json::json!(names));
    }
    assert!(names.iter().all(|name| folder.path(name).exists()) && !folder.path("out.gguf").exists());
}

#[test]
fn the_default_output_of_a_split_model_is_named_after_the_whole() {
    let folder = Folder::new();
    let mut file = ModelFile::llama().with_gaussian("a.weight", &[32, 2], F16);
    for (number, name) in ["a.weight", "b.weight"].into_iter().enumerate() {
        let mut metadata = if number == 0 { file.metadata.clone() } else { Metadata::new() };
        metadata.set("split.no", number as u16);
        metadata.set("split.count", 2u16);
        metadata.set("split.tensors.count", 2i32);
        file = ModelFile::of(metadata).with_gaussian(name, &[32, 2], F16);
        file.save(&folder.path(&format!("m-0000{}-of-00002.gguf", number + 1)));
    }
    folder.done("quantize m-00001-of-00002.gguf Q8_0");
    assert_eq!(names(&folder.open("m-Q8_0.gguf")), ["a.weight", "b.weight"]);
    folder.done("quantize --keep-split m-00001-of-00002.gguf Q8_0");
    assert_eq!(folder.open("m-Q8_0-00001-of-00002.gguf").shards().len(), 2);
}

#[test]
fn inputs_and_outputs_that_cannot_be() {
    let folder = Folder::new();
    folder.refused("quantize none.gguf out.gguf Q8_0", 1, &["none.gguf: cannot open: "]);
    folder.refused("quantize . out.gguf Q8_0", 1, &[".: cannot open: "]);
    folder.refused("quantize in.gguf none/out.gguf Q8_0", 1, &["none: cannot use: "]);
    folder.refused("quantize in.gguf in.gguf Q8_0", 1, &["in.gguf: is the input"]);
    folder.refused("quantize --force in.gguf ./in.gguf Q8_0", 1, &["in.gguf: is the input"]);
    fs::write(folder.path("out.gguf"), "mine").unwrap();
    folder.refused("quantize in.gguf out.gguf Q8_0", 1, &["out.gguf: exists already", "--force"]);
    assert_eq!(fs::read(folder.path("out.gguf")).unwrap(), b"mine");
    folder.done("quantize --force in.gguf out.gguf Q8_0");
    assert_converted(&folder.open("in.gguf"), &folder.open("out.gguf"));
    // A file that ends before its last tensor.
    let file = fs::read(folder.path("in.gguf")).unwrap();
    fs::write(folder.path("cut.gguf"), &file[..file.len() - 1000]).unwrap();
    folder.refused("quantize cut.gguf o.gguf Q8_0", 1, &["cut.gguf: byte "]);
}
