//! The output as text and as JSON.

use super::{Folder, json_lines};
use crate::support::ModelFile;
use qmill::Format::F16;
use qmill::gguf::{Layout, TensorInfo};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// The object for each tensor of `name` by the file itself, without the format in the source.
fn tensors_of(folder: &Folder, source: &str, name: &str) -> Vec<Value> {
    let (source, result) = (folder.open(source), folder.open(name));
    let describe = |tensor: qmill::gguf::Tensor| {
        let from = source.tensor(tensor.info.name()).unwrap().info.tensor_type();
        json!({
            "name": tensor.info.name(),
            "shape": tensor.info.shape(),
            "from": from.name(),
            "to": tensor.info.tensor_type().name(),
            "bytes": tensor.info.bytes(),
        })
    };
    result.tensors().map(describe).collect()
}

fn sum(objects: &[Value], key: &str) -> u64 {
    objects.iter().map(|object| object[key].as_u64().unwrap()).sum()
}

#[track_caller]
fn assert_totals(folder: &Folder, totals: &Value, name: &str) {
    let tensors = tensors_of(folder, "in.gguf", name);
    assert_eq!(totals["file_bytes"], fs::metadata(folder.path(name)).unwrap().len());
    assert_eq!(totals["tensor_bytes"], sum(&tensors, "bytes"));
    let model = folder.open(name);
    let weights: u64 = model.tensors().map(|tensor| tensor.info.weights()).sum();
    assert_eq!(totals["weights"], weights);
    let bits = totals["bits_per_weight"].as_f64().unwrap();
    assert!((bits - sum(&tensors, "bytes") as f64 * 8.0 / weights as f64).abs() < 1e-9, "{bits}");
    let formats = totals["formats"].as_array().unwrap();
    assert_eq!(sum(formats, "tensors"), tensors.len() as u64);
    assert_eq!(sum(formats, "weights"), weights);
    for total in formats {
        let of_format: Vec<Value> =
            tensors.iter().filter(|tensor| tensor["to"] == total["format"]).cloned().collect();
        assert_eq!(total["tensors"], of_format.len());
        assert_eq!(total["bytes"], sum(&of_format, "bytes"));
    }
}

#[test]
fn a_dry_run_says_what_the_run_does_and_writes_nothing() {
    let folder = Folder::new();
    let printed = folder.done("quantize --dry-run --json in.gguf out.gguf Q4_K_M");
    assert_eq!(folder.files(), ["in.gguf"]);
    let lines = json_lines(&printed);
    let [object] = lines.as_slice() else { panic!("{printed}") };
    folder.done("quantize in.gguf out.gguf Q4_K_M");
    assert_eq!(object["tensors"].as_array().unwrap(), &tensors_of(&folder, "in.gguf", "out.gguf"));
    assert_totals(&folder, object, "out.gguf");

    let printed = folder.done("quantize --dry-run in.gguf out.gguf Q4_K_M");
    for tensor in object["tensors"].as_array().unwrap() {
        assert_eq!(printed.matches(tensor["name"].as_str().unwrap()).count(), 1, "{printed}");
    }
}

/// 64 GiB of weights that are not there.
#[test]
fn a_dry_run_reads_the_header_alone() {
    let folder = Folder::new();
    let tensors: Vec<TensorInfo> = (0..8)
        .map(|layer| TensorInfo::new(format!("blk.{layer}.attn_q.weight"), [1 << 16, 1 << 16], F16).unwrap())
        .collect();
    let layout = Layout::new(&ModelFile::llama().metadata, tensors).unwrap();
    let mut file = File::create(folder.path("sparse.gguf")).unwrap();
    layout.write_header(&mut file).unwrap();
    file.set_len(layout.file_bytes()).unwrap();
    let printed = folder.done("quantize --dry-run --json sparse.gguf Q8_0");
    let object: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(object["tensor_bytes"], 8u64 * (1 << 32) / 32 * 34);
    assert_eq!(object["source_bytes"], 8u64 << 33);
    assert_eq!(folder.files(), ["in.gguf", "sparse.gguf"]);
}

#[test]
fn json_has_a_line_for_every_tensor_and_one_for_the_result() {
    let folder = Folder::new();
    let lines = json_lines(&folder.done("quantize --json in.gguf out.gguf Q4_K_M"));
    let (result, tensors) = lines.split_last().unwrap();
    let expected = tensors_of(&folder, "in.gguf", "out.gguf");
    assert_eq!(tensors.len(), expected.len());
    let mut read_bytes = 0;
    for (index, (line, expected)) in tensors.iter().zip(&expected).enumerate() {
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&line[key], value, "{line}");
        }
        assert_eq!((&line["tensor_index"], &line["tensor_count"]), (&json!(index), &json!(7)));
        read_bytes += folder.open("in.gguf").tensor(line["name"].as_str().unwrap()).unwrap().info.bytes();
        assert_eq!(line["read_bytes"], read_bytes);
    }
    assert_eq!(tensors[6]["total_read_bytes"], read_bytes);
    assert_eq!((&result["output"], &result["source_bytes"]), (&json!("out.gguf"), &json!(read_bytes)));
    assert!(result["seconds"].as_f64().unwrap() > 0.0);
    assert_totals(&folder, result, "out.gguf");
}

#[test]
fn lines_for_people_end_with_the_sum() {
    let folder = Folder::new();
    let printed = folder.done("quantize in.gguf out.gguf Q8_0");
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("[   1/7] output.weight") && lines[0].contains("F16 -> Q8_0"), "{printed}");
    assert_eq!(lines.iter().filter(|line| line.starts_with('[')).count(), 7);
    let last = lines.last().unwrap();
    assert!(last.contains("bits per weight") && last.ends_with(": out.gguf"), "{last}");
}

#[test]
fn what_a_model_does_not_say_is_noted() {
    let mut file = ModelFile::llama().with_gaussian("blk.0.attn_q.weight", &[256, 4], F16);
    file.metadata.remove("llama.block_count");
    let folder = Folder::with(&file);
    let ran = folder.run("quantize in.gguf out.gguf Q4_K_M");
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.starts_with("qmill: note: no llama.block_count"), "{}", ran.stderr);
}

/// Even as root and with `--force` the name stays what it is, and the model goes where the shell says.
#[cfg(target_os = "linux")]
#[test]
fn the_standard_output_is_written_whatever_it_is() {
    let folder = Folder::new();
    folder.done("quantize in.gguf expected.gguf Q8_0");
    let expected = fs::read(folder.path("expected.gguf")).unwrap();
    std::os::unix::fs::symlink("/dev/stdout", folder.path("link")).unwrap();
    for (name, force) in [
        ("/dev/stdout", ""),
        ("/dev/stdout", "--force"),
        ("/dev/fd/1", "--force"),
        ("/proc/self/fd/1", "--force"),
        ("link", "--force"),
    ] {
        let words = format!("quantize --device cpu {force} in.gguf {name} Q8_0");
        let piped = folder.command(&words).output().unwrap();
        assert!(piped.status.success() && piped.stdout == expected, "{words}");
        assert!(
            String::from_utf8(piped.stderr).unwrap().contains("[   1/7]"),
            "lines go to the other output"
        );

        // Into a file, after what is there.
        let path = folder.path("redirected");
        fs::write(&path, "before").unwrap();
        let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        assert!(folder.command(&words).stdout(file).stderr(Stdio::null()).status().unwrap().success());
        assert!(fs::read(&path).unwrap() == [b"before", expected.as_slice()].concat(), "{words}");
    }
    assert!(fs::symlink_metadata("/dev/stdout").unwrap().is_symlink());
    assert_eq!(folder.files(), ["expected.gguf", "in.gguf", "link", "redirected"]);
    // Another descriptor, of a file that was longer.
    fs::write(folder.path("redirected"), vec![1; 1 << 20]).unwrap();
    let script =
        format!("'{}' quantize --force in.gguf /dev/fd/3 Q8_0 3<>redirected", env!("CARGO_BIN_EXE_qmill"));
    let status =
        std::process::Command::new("sh").args(["-c", &script]).current_dir(folder.0.path()).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    assert!(fs::read(folder.path("redirected")).unwrap() == expected);
    // The output must not be the input.
    let script =
        format!("'{}' quantize --force in.gguf /dev/fd/3 Q8_0 3<>in.gguf", env!("CARGO_BIN_EXE_qmill"));
    let status =
        std::process::Command::new("sh").args(["-c", &script]).current_dir(folder.0.path()).output().unwrap();
    assert!(String::from_utf8(status.stderr).unwrap().contains("is the input"));
}

/// As in `qmill quantize … | head -1`.
#[test]
fn a_reader_who_leaves_does_not_stop_the_run() {
    let tensors = (0..2000).fold(ModelFile::llama(), |file, index| {
        file.with_gaussian(&format!("blk.0.a{index}.weight"), &[32, 1, 2], F16)
    });
    let folder = Folder::with(&tensors);
    let command = "quantize --json --memory 4K in.gguf out.gguf Q8_0";
    let mut child = folder.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ran = super::Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(folder.open("out.gguf").tensors().count(), 2000);
    assert_eq!(folder.files(), ["in.gguf", "out.gguf"]);
}

#[test]
fn shells_complete() {
    let folder = Folder::new();
    let script = folder.done("completions bash");
    assert!(script.contains("quantize") && script.contains("--allow-requantize"), "{script}");
    folder.refused("completions teleprinter", 2, &["teleprinter"]);
}
