//! The commands that write no model: `inspect`, `compare`, `formats`, `demo`. `quantize` has its own file.

use qmill::gguf::{Array, Layout, Metadata, TensorInfo, TensorType, Value, Writer};
use qmill::mix::{FILE_TYPES, IMATRIX_FILE_TYPES};
use qmill::{FORMATS, Format};
use serde_json::Value as Json;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const DEMO_MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-shakespeare-f16.gguf");

fn qmill(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_qmill")).args(arguments).output().unwrap()
}

/// The standard output of a command that must succeed without other output.
fn stdout(arguments: &[&str]) -> String {
    let output = qmill(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && errors.is_empty(), "{arguments:?}: {} {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Json {
    serde_json::from_str(&stdout(arguments)).unwrap()
}

/// Writes a model whose data are zeros.
fn write_model(path: &Path, metadata: &Metadata, tensors: Vec<TensorInfo>) {
    let bytes: u64 = tensors.iter().map(TensorInfo::bytes).sum();
    let mut writer = Writer::new(Vec::new(), Layout::new(metadata, tensors).unwrap()).unwrap();
    writer.write_data(&vec![0; bytes as usize]).unwrap();
    fs::write(path, writer.finish().unwrap()).unwrap();
}

#[test]
fn inspect_says_what_the_header_says() {
    let found = json(&["inspect", "--json", DEMO_MODEL]);
    assert_eq!((found["version"].as_u64(), found["alignment"].as_u64()), (Some(3), Some(32)));
    assert_eq!(found["file_bytes"], fs::metadata(DEMO_MODEL).unwrap().len());
    assert_eq!((&found["file_type"], &found["file_type_name"]), (&Json::from(1), &Json::from("F16")));
    assert_eq!(found["metadata"]["llama.embedding_length"]["value"], 256);
    let tokens = &found["metadata"]["tokenizer.ggml.tokens"];
    assert_eq!((&tokens["length"], tokens["value"].as_array().unwrap().len()), (&Json::from(1024), 16));
    let tensors = found["tensors"].as_array().unwrap();
    assert_eq!((tensors.len(), &tensors[0]["name"]), (39, &Json::from("token_embd.weight")));
    let tensor = tensors.iter().find(|tensor| tensor["name"] == "blk.0.attn_k.weight").unwrap();
    assert_eq!(tensor["shape"], serde_json::json!([256, 128]));
    assert_eq!((&tensor["bytes"], &tensor["offset"]), (&Json::from(65_536), &Json::from(685_440)));
    // 3,670,016 weights of 16 bits and 9 rows of 256 of 32.
    assert_eq!((&found["weights"], &found["tensor_bytes"]), (&3_672_320.into(), &7_349_248.into()));
    assert_eq!(found["bits_per_weight"], 7_349_248.0 * 8.0 / 3_672_320.0);

    let all = json(&["inspect", "--json", "--all", DEMO_MODEL]);
    assert_eq!(all["metadata"]["tokenizer.ggml.tokens"]["value"].as_array().unwrap().len(), 1024);

    let text = stdout(&["inspect", DEMO_MODEL]);
    for expected in [
        "GGUF version 3",
        "39 tensors",
        "256 x 128",
        "string[1024]",
        "16.0100 bits per weight, file type F16",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn inspect_shows_nothing_that_a_terminal_obeys_and_loses_nothing_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.gguf");
    let mut metadata = Metadata::new();
    metadata.set("title\u{1b}[2J", "line\nline\u{7}");
    metadata.set("bytes", Value::String(vec![b'a', 0xff]));
    metadata.set("large", u64::MAX);
    metadata.set("small", i64::MIN);
    metadata.set("odd", f32::NEG_INFINITY);
    metadata.set("strings", Array::from_strings([b"ok".as_slice(), b"\xfe"]));
    metadata.set("general.file_type", 24u32);
    write_model(&path, &metadata, vec![TensorInfo::new("w\u{1b}", [32, 2], Format::Q8_0).unwrap()]);
    let path = path.to_str().unwrap();

    let text = stdout(&["inspect", path]);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(text.contains("file type IQ1_S"), "{text}");

    let found = json(&["inspect", "--json", path]);
    let value = |key: &str| found["metadata"][key]["value"].clone();
    assert_eq!(value("title\u{1b}[2J"), "line\nline\u{7}");
    assert_eq!(value("bytes"), serde_json::json!({ "hex": "61ff" }));
    assert_eq!((value("large"), value("small")), (u64::MAX.into(), i64::MIN.into()));
    assert_eq!(value("odd"), "-inf");
    assert_eq!(value("strings"), serde_json::json!(["ok", { "hex": "fe" }]));
    assert_eq!(found["file_type_name"], "IQ1_S");
    assert_eq!(found["tensors"][0]["bytes"], 68);
}

#[test]
fn inspect_reads_all_files_of_a_split_model() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..2u16 {
        let mut metadata = Metadata::new();
        metadata.set("split.no", number);
        metadata.set("split.count", 2u16);
        metadata.set("split.tensors.count", 2i32);
        let tensor = TensorInfo::new(format!("w{number}"), [4], Format::F32).unwrap();
        let name = format!("m-{:05}-of-00002.gguf", number + 1);
        write_model(&folder.path().join(name), &metadata, vec![tensor]);
    }
    let path = folder.path().join("m-00001-of-00002.gguf");
    let found = json(&["inspect", "--json", path.to_str().unwrap()]);
    assert_eq!(found["files"].as_array().unwrap().len(), 2);
    assert_eq!((&found["tensors"][1]["name"], &found["tensors"][1]["file"]), (&"w1".into(), &1.into()));
    assert!(stdout(&["inspect", path.to_str().unwrap()]).contains("in 2 files"));
}

#[test]
fn a_model_does_not_differ_from_itself() {
    let found = json(&["compare", "--json", DEMO_MODEL, DEMO_MODEL]);
    assert_eq!(found["tensors"].as_array().unwrap().len(), 39);
    assert_eq!(found["not_compared"], serde_json::json!([]));
    let total = &found["total"];
    assert_eq!(total["weights"], 3_672_320);
    assert_eq!(
        (&total["rmse"], &total["max_error"], &total["cosine"]),
        (&0.0.into(), &0.0.into(), &1.0.into())
    );
    assert_eq!(total["sqnr_db"], Json::Null);
    let text = stdout(&["compare", DEMO_MODEL, DEMO_MODEL]);
    let total = text.lines().last().unwrap();
    assert!(total.starts_with("total") && total.contains("39 tensors") && total.contains("inf"), "{total}");
}

#[test]
fn compare_tells_what_it_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let tensor = |name: &str| TensorInfo::new(name, [4], Format::F32).unwrap();
    let [a, b] = ["a.gguf", "b.gguf"].map(|name| folder.path().join(name));
    write_model(&a, &Metadata::new(), vec![tensor("both"), tensor("gone")]);
    write_model(&b, &Metadata::new(), vec![tensor("both"), tensor("new")]);
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let found = json(&["compare", "--json", a, b]);
    let names: Vec<_> = found["not_compared"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["gone", "new"]);
    assert_eq!((&found["total"]["tensors"], &found["total"]["not_compared"]), (&1.into(), &2.into()));
    let text = stdout(&["compare", a, b, "--threads", "1"]);
    assert!(text.contains("not compared: only in the reference"), "{text}");
    let last = text.lines().last().unwrap();
    assert_eq!(last, "The total is of 1 of 3 tensors: 1 only in the reference, 1 not in the reference");
    // All cores, as in llama.cpp.
    assert_eq!(stdout(&["compare", a, b, "-t", "0"]), text);
}

#[test]
fn compare_of_files_with_nothing_in_common_fails() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, tensors: &[(&str, u64, TensorType)]| {
        let path = folder.path().join(name);
        let infos =
            tensors.iter().map(|&(name, rows, kind)| TensorInfo::new(name, [32, rows], kind).unwrap());
        write_model(&path, &Metadata::new(), infos.collect());
        path.to_str().unwrap().to_owned()
    };
    let f32 = TensorType::Weights(Format::F32);
    let a = save("a.gguf", &[("a.weight", 2, f32), ("shape", 2, f32), ("integers", 2, TensorType::I32)]);
    let b = save("b.gguf", &[("b.weight", 2, f32), ("shape", 3, f32), ("integers", 2, TensorType::I32)]);
    let none = save("none.gguf", &[]);
    for (a, b, counts) in [
        (&a, &b, "only in the first: 1, only in the second: 1, of other shapes: 1, without weights: 1"),
        (&a, &none, "only in the first: 3, only in the second: 0"),
        (&none, &none, "only in the first: 0, only in the second: 0"),
    ] {
        for flags in [&[][..], &["--json"]] {
            let output = qmill(&[&["compare"], flags, &[a, b]].concat());
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
            assert!(errors.contains("have no tensor to compare") && errors.contains(counts), "{errors}");
        }
    }
}

#[test]
fn formats_lists_every_format_and_file_type() {
    let found = json(&["formats", "--json"]);
    let names = |key: &str| -> Vec<String> {
        let rows = found[key].as_array().unwrap();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("formats"), FORMATS.iter().map(|info| info.name).collect::<Vec<_>>());
    assert_eq!(names("file_types"), FILE_TYPES.iter().map(|info| info.name).collect::<Vec<_>>());
    assert_eq!(
        names("imatrix_file_types"),
        IMATRIX_FILE_TYPES.iter().map(|info| info.name).collect::<Vec<_>>()
    );
    let q4_k = found["formats"].as_array().unwrap().iter().find(|row| row["name"] == "Q4_K").unwrap();
    assert_eq!((&q4_k["bits_per_weight"], &q4_k["block_bytes"]), (&4.5.into(), &144.into()));

    let text = stdout(&["formats"]);
    let lines_of =
        |name: &str| text.lines().filter(|line| line.split_whitespace().next() == Some(name)).count();
    assert_eq!((lines_of("IQ4_XS"), lines_of("Q4_K_M"), lines_of("IQ2_M")), (2, 1, 1));
}

#[test]
fn demo_shows_every_file_type_and_keeps_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder");
    let found = json(&["demo", "--json", "--out", path.to_str().unwrap()]);
    let samples = found["samples"].as_array().unwrap();
    assert!(samples.len() >= 8, "{found}");
    let text = stdout(&["demo"]);
    for sample in samples {
        let file_type = sample["file_type"].as_str().unwrap();
        assert!(text.lines().any(|line| line.starts_with(&format!("{file_type} "))), "{file_type}: {text}");
        let file = path.join(format!("tiny-shakespeare-{file_type}.gguf"));
        assert_eq!(sample["file_bytes"], fs::metadata(&file).unwrap().len());
        // The files are those that were measured.
        let compared = json(&["compare", "--json", DEMO_MODEL, file.to_str().unwrap()]);
        assert_eq!(compared["total"]["sqnr_db"], sample["sqnr_db"], "{file_type}");
        assert_eq!(compared["tensors"][0]["name"], sample["worst_tensor"]["name"], "{file_type}");
    }
    let sqnr_db = |file_type: &str| {
        let sample = samples.iter().find(|sample| sample["file_type"] == file_type).unwrap();
        sample["sqnr_db"].as_f64().unwrap()
    };
    assert!(sqnr_db("Q8_0") > sqnr_db("Q6_K") && sqnr_db("Q6_K") > sqnr_db("Q4_K_M"));
    assert!(sqnr_db("Q4_K_M") > sqnr_db("Q2_K") && sqnr_db("Q2_K") > sqnr_db("TQ2_0"));
    assert!(text.lines().last().unwrap().contains("qmill quantize"), "{text}");
    assert_eq!(fs::read(path.join("tiny-shakespeare-f16.gguf")).unwrap(), fs::read(DEMO_MODEL).unwrap());
    assert_eq!(fs::read_dir(&path).unwrap().count(), samples.len() + 1);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.gguf");
    let mut metadata = Metadata::new();
    for number in 0..4000 {
        metadata.set(format!("key.{number}"), "forty characters to fill what a pipe can hold");
    }
    write_model(&path, &metadata, Vec::new());
    for arguments in [vec!["inspect"], vec!["inspect", "--json"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qmill"));
        command.args(arguments).arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
        let whole = command.output().unwrap().stdout;
        assert!(whole.len() > 4 * 65_536, "a pipe must not hold all of it");

        let mut child = command.spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        assert!(!reader.fill_buf().unwrap().is_empty());
        drop(reader);
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(errors, "");
    }
}

#[test]
fn failures_are_one_line_and_have_their_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.gguf");
    fs::write(&text, "no model").unwrap();
    let (text, missing) = (text.to_str().unwrap(), folder.path().join("missing.gguf"));
    let (missing, directory) = (missing.to_str().unwrap(), folder.path().to_str().unwrap());
    let cases: [(&[&str], &str); 6] = [
        (&["inspect", missing], "missing.gguf: cannot open"),
        (&["inspect", directory], "directory"),
        (&["inspect", text], "text.gguf: byte 0: expected \"GGUF\""),
        (&["compare", DEMO_MODEL, missing], "missing.gguf: cannot open"),
        (&["compare", text, DEMO_MODEL], "text.gguf: byte 0"),
        (&["demo", "--out", text], "text.gguf: cannot create"),
    ];
    for (arguments, expected) in cases {
        let output = qmill(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert_eq!((errors.lines().count(), output.stdout.len()), (1, 0), "{arguments:?}: {errors}");
        assert!(errors.starts_with("qmill: ") && errors.contains(expected), "{arguments:?}: {errors}");
    }
    let usage: [&[&str]; 4] =
        [&[], &["inspect"], &["compare", text], &["compare", text, text, "--threads", "two"]];
    for arguments in usage {
        assert_eq!(qmill(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_wrong_word_is_answered_with_the_one_that_may_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(DEMO_MODEL, folder.path().join("model-f16.gguf")).unwrap();
    let missing = folder.path().join("model_f16.gguf").display().to_string();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["quantize", DEMO_MODEL, "Q4_K_X", "8"], 2, "did you mean Q4_K_"),
        (&["quantize", DEMO_MODEL, "Q4KM"], 2, "did you mean Q4_K_M?"),
        (&["run", "-m", DEMO_MODEL, "-p", "a", "--quantize", "q5_k_n"], 2, "'Q5_K_M'"),
        (&["bench", "--format", "q4k"], 2, "'Q4_K'"),
        (&["bench", "--op", "matvek"], 2, "'matvec'"),
        (&["inspect", &missing], 1, "model-f16.gguf?"),
    ];
    for (arguments, code, expected) in cases {
        let output = qmill(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    }
}

#[test]
fn completions_offer_types_formats_operations_and_devices() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&["completions", shell]);
        for word in ["Q4_K_M", "IQ4_XS", "matvec", "auto"] {
            assert!(script.contains(word), "{shell} does not offer {word}");
        }
    }
}
