//! What can be asked for, and what is refused.

use super::Folder;
use crate::support::{ModelFile, TINY_SHAKESPEARE, assert_converted, format_of, gaussian, names};
use qmill::Format::{self, F16, F32, Q1_0, Q2_K, Q3_K, Q4_0, Q4_K, Q5_K, Q6_K, Q8_0};
use qmill::gguf::{Metadata, Value};
use std::fs;

#[test]
fn places_of_output_type_and_threads() {
    for (arguments, output, file_type) in [
        ("Q4_K_M", "in-Q4_K_M.gguf", 15),
        ("15", "in-Q4_K_M.gguf", 15),
        ("q8_0", "in-Q8_0.gguf", 7),
        ("Q4_K", "in-Q4_K_M.gguf", 15),
        ("Q4_K_M 3", "in-Q4_K_M.gguf", 15),
        ("15 8", "in-Q4_K_M.gguf", 15),
        // As llama-quantize: all cores.
        ("Q4_K_M 0", "in-Q4_K_M.gguf", 15),
        ("out.gguf Q4_K_M -1", "out.gguf", 15),
        ("out.gguf Q5_0", "out.gguf", 8),
        ("out.gguf 8", "out.gguf", 8),
        ("out.gguf iq4_xs 2", "out.gguf", 30),
        ("15 q8_0", "15", 7),
        ("Q8_0 Q4_0", "Q8_0", 2),
        ("Q8_0 Q4_0 1", "Q8_0", 2),
    ] {
        let folder = Folder::new();
        folder.done(&format!("quantize in.gguf {arguments}"));
        let mut files = ["in.gguf", output];
        files.sort_unstable();
        assert_eq!(folder.files(), files, "{arguments}");
        let result = folder.open(output);
        assert_eq!(result.metadata().u64_of("general.file_type"), Some(file_type), "{arguments}");
        assert_converted(&folder.open("in.gguf"), &result);
    }
    let folder = Folder::new();
    folder.refused("quantize in.gguf", 2, &["TYPE"]);
    folder.refused("quantize", 2, &["<IN>"]);
    folder.refused("quantize in.gguf out.gguf Q8_0 many", 2, &["\"many\" is no number of threads"]);
    folder.refused("quantize in.gguf out.gguf Q8_0 1 2", 2, &["2"]);
    // A type that qmill cannot make is a type and not a name for the output, whatever follows.
    folder.refused("quantize in.gguf IQ2_XS 8", 2, &["IQ2_XS needs an importance matrix"]);
    folder.refused("quantize in.gguf IQ3_S 8", 2, &["IQ3_S is not encoded"]);
    folder.refused("quantize in.gguf out.gguf Q9_0", 2, &["\"Q9_0\" is no file type"]);
    folder.refused("quantize in.gguf out.gguf", 2, &["\"out.gguf\" is no file type"]);
}

/// What follows a dot is an extension only if it is `gguf`.
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

/// Names of files are bytes, and these are no UTF-8.
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

/// The formats of some tensors after `qmill quantize` with `flags`.
#[track_caller]
fn formats(flags: &str, file_type: &str, tensors: &[&str]) -> Vec<Format> {
    let folder = Folder::new();
    folder.done(&format!("quantize {flags} in.gguf out.gguf {file_type}"));
    let result = folder.open("out.gguf");
    assert_converted(&folder.open("in.gguf"), &result);
    tensors.iter().map(|name| format_of(&result, name)).collect()
}

#[test]
fn flags_that_choose_formats() {
    let of = ["output.weight", "token_embd.weight", "blk.0.attn_v.weight", "blk.1.ffn_down.weight"];
    assert_eq!(formats("", "Q2_K", &of), [Q6_K, Q2_K, Q3_K, Q3_K]);
    assert_eq!(formats("--pure", "Q2_K", &of), [Q2_K; 4]);
    assert_eq!(formats("--leave-output-tensor", "Q2_K", &of), [F16, Q2_K, Q3_K, Q3_K]);
    assert_eq!(formats("--output-tensor-type q8_0", "Q2_K", &of), [Q8_0, Q2_K, Q3_K, Q3_K]);
    assert_eq!(formats("--token-embedding-type Q4_0", "Q2_K", &of), [Q6_K, Q4_0, Q3_K, Q3_K]);
    // Case-folded, anywhere in the name, the first that matches wins.
    let rules = "--tensor-type ATTN_V=q5_k --tensor-type blk.*weight=Q4_K";
    assert_eq!(formats(rules, "Q2_K", &of), [Q6_K, Q2_K, Q5_K, Q4_K]);
}

#[test]
fn rules_of_a_file_come_after_those_of_the_command_line() {
    let folder = Folder::new();
    fs::write(folder.path("rules"), "attn_v=Q4_0\n\n  ffn_down=Q5_K attn_v=Q8_0\n").unwrap();
    folder.done("quantize --tensor-type-file rules in.gguf out.gguf Q2_K");
    let result = folder.open("out.gguf");
    assert_eq!(format_of(&result, "blk.0.attn_v.weight"), Q4_0);
    assert_eq!(format_of(&result, "blk.0.ffn_down.weight"), Q5_K);
    folder.done("quantize --force --tensor-type-file rules --tensor-type attn_v=F16 in.gguf out.gguf Q2_K");
    assert_eq!(format_of(&folder.open("out.gguf"), "blk.0.attn_v.weight"), F16);

    folder.refused("quantize --tensor-type-file none in.gguf o.gguf Q2_K", 1, &["none: cannot read"]);
    fs::write(folder.path("rules"), "attn_v").unwrap();
    let words = ["\"attn_v\" is not of the form REGEX=FORMAT"];
    folder.refused("quantize --tensor-type-file rules in.gguf o.gguf Q2_K", 2, &words);
    fs::write(folder.path("rules"), "(?!a)v=Q8_0").unwrap();
    folder.refused("quantize --tensor-type-file rules in.gguf o.gguf Q2_K", 2, &["(?!a)v", "look-ahead"]);
}

#[test]
fn rules_that_are_none() {
    let folder = Folder::new();
    let refused = |rule, words: &[&str]| {
        folder.refused(&format!("quantize --tensor-type {rule} in.gguf out.gguf Q2_K"), 2, words);
    };
    refused("(?!a)v=Q8_0", &["(?!a)v", "look-ahead"]);
    refused("(=Q8_0", &["unclosed group"]);
    refused("attn_v=Q9", &["\"Q9\" is no tensor format"]);
    refused("attn_v", &["REGEX=FORMAT"]);
    // A format that is only read.
    let words = ["IQ3_S is not encoded by qmill yet"];
    folder.refused("quantize --tensor-type attn_v=IQ3_S in.gguf out.gguf Q2_K", 2, &words);
}

#[test]
fn metadata_of_every_kind_is_set() {
    let folder = Folder::new();
    let flags = "--override-kv a=int:7 --override-kv b=int:-7 --override-kv c=float:0.5 --override-kv d=bool:true \
                 --override-kv e=str:x=y:z --override-kv general.name=str:";
    folder.done(&format!("quantize {flags} in.gguf out.gguf Q8_0"));
    let result = folder.open("out.gguf");
    let last: Vec<_> = result.metadata().iter().skip(result.metadata().len() - 6).collect();
    assert_eq!(
        last,
        [
            ("a", &Value::U32(7)),
            // llama-quantize stores the magnitude.
            ("b", &Value::U32(7)),
            ("c", &Value::F32(0.5)),
            ("d", &Value::Bool(true)),
            ("e", &Value::from("x=y:z")),
            ("general.name", &Value::from("")),
        ]
    );

    let refused = |value: &str, words: &[&str]| {
        folder.refused(&format!("quantize --override-kv {value} in.gguf o.gguf Q8_0"), 2, words);
    };
    refused("a", &["KEY=int:1"]);
    refused("a=7", &["KEY=int:1"]);
    refused("=int:7", &["KEY=int:1"]);
    refused("a=u32:7", &["KEY=int:1"]);
    refused("a=int:x", &["\"x\" is no integer"]);
    refused("a=int:4294967296", &["does not fit 32 bits"]);
    refused("a=float:x", &["\"x\" is no number"]);
    refused("a=bool:yes", &["\"yes\" is not true or false"]);
    refused(&format!("a=str:{}", "x".repeat(128)), &["127 bytes"]);
    // How a model is split is not for the user to say: these files would open no more.
    for key in ["split.count", "split.no", "split.tensors.count"] {
        refused(&format!("{key}=int:3"), &[key, "cannot be set"]);
    }
}

#[test]
fn layers_are_pruned() {
    let folder = Folder::new();
    folder.done("quantize --prune-layers 0 in.gguf out.gguf Q8_0");
    let result = folder.open("out.gguf");
    assert_eq!(result.tensors().count(), 5);
    assert_eq!(result.metadata().u64_of("llama.block_count"), Some(1));
    folder.done("quantize --prune-layers 0,1 in.gguf none.gguf Q8_0");
    assert_eq!(folder.open("none.gguf").tensors().count(), 3);
    let words = ["there is no layer 2 to leave out; the model has 2"];
    folder.refused("quantize --prune-layers 1,2 in.gguf o.gguf Q8_0", 1, &words);
    folder.refused("quantize --prune-layers one in.gguf o.gguf Q8_0", 2, &["one"]);
}

#[test]
fn quantizing_twice_needs_the_flag() {
    let folder = Folder::new();
    folder.done("quantize in.gguf q.gguf Q8_0");
    let words = ["is Q8_0 already", "--allow-requantize"];
    folder.refused("quantize q.gguf out.gguf Q4_K_M", 1, &words);
    // A hint names flags that this subcommand has.
    folder.done(&format!("quantize --device cpu {TINY_SHAKESPEARE} t.gguf Q8_0"));
    let ran = folder.run("run --device cpu -m t.gguf --quantize Q4_K_M -p x -n 1");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("is Q8_0 already") && !ran.stderr.contains("--allow"), "{}", ran.stderr);
    folder.done("quantize --allow-requantize q.gguf out.gguf Q4_K_M");
    assert_converted(&folder.open("q.gguf"), &folder.open("out.gguf"));
}

#[test]
fn what_needs_calibration_is_refused() {
    let folder = Folder::new();
    for flag in ["--imatrix in.gguf", "--include-weights attn_v", "--exclude-weights attn_v"] {
        folder.refused(&format!("quantize {flag} in.gguf out.gguf Q4_K_M"), 2, &["without calibration data"]);
    }
    for (name, instead) in
        [("IQ2_XS", "Q2_K"), ("iq1_m", "Q2_K"), ("Q2_K_S", "Q2_K"), ("24", "Q2_K"), ("IQ3_XXS", "Q3_K_S")]
    {
        folder.refused(&format!("quantize in.gguf out.gguf {name}"), 2, &["importance matrix", instead]);
    }
    for name in ["IQ3_S", "IQ3_M", "26"] {
        folder.refused(
            &format!("quantize in.gguf out.gguf {name}"),
            2,
            &["IQ3_S is not encoded by qmill yet"],
        );
    }
}

#[test]
fn rows_that_no_block_fits_are_refused_with_the_reason() {
    let file = ModelFile::llama().with_gaussian("blk.0.attn_q.weight", &[576, 4], F16);
    let folder = Folder::with(&file);
    let words = ["blk.0.attn_q.weight", "576", "Q1_0", "128"];
    folder.refused("quantize in.gguf out.gguf Q1_0", 1, &words);
    // Where another format may stand in, it does, and that is said.
    let said = folder.done("quantize --pure in.gguf out.gguf Q4_K_S");
    assert_eq!(format_of(&folder.open("out.gguf"), "blk.0.attn_q.weight"), Format::Q5_0);
    assert!(said.contains("F16 -> Q5_0 and not Q4_K (576 columns are no multiple of 256)"), "{said}");
}

/// The shape of SmolLM2 135M, whose rows of 576 fit no K-quant.
#[test]
fn formats_that_stand_in_are_explained_and_what_would_be_smaller() {
    let model =
        (0..2).fold(ModelFile::llama().with_gaussian("token_embd.weight", &[576, 32], F16), |file, layer| {
            file.with_gaussian(&format!("blk.{layer}.attn_v.weight"), &[576, 32], F16)
                .with_gaussian(&format!("blk.{layer}.attn_q.weight"), &[576, 64], F16)
                .with_gaussian(&format!("blk.{layer}.ffn_up.weight"), &[576, 64], F16)
                .with_gaussian(&format!("blk.{layer}.ffn_down.weight"), &[1536, 32], F16)
                .with_gaussian(&format!("blk.{layer}.odd.weight"), &[80, 4], F16)
        });
    let folder = Folder::with(&model);
    let line = |said: &str, start: &str| -> String {
        let found: Vec<_> = said.lines().filter(|line| line.starts_with(start)).collect();
        assert_eq!(found.len(), 1, "{start}: {said}");
        found[0].to_owned()
    };
    // What the other type takes is what its own dry run says.
    let of = |file_type: &str| -> serde_json::Value {
        serde_json::from_str(&folder.done(&format!("quantize --dry-run --json in.gguf {file_type}"))).unwrap()
    };
    let bits = |file_type: &str| of(file_type)["bits_per_weight"].as_f64().unwrap();
    for (file_type, smaller) in [("Q4_K_M", "IQ4_NL"), ("Q5_K_M", "Q5_0"), ("Q6_K", "Q5_1")] {
        let (own, other) = (bits(file_type), bits(smaller));
        assert!(other < own, "{file_type}: {own}, {smaller}: {other}");
        let end = format!(" ({own:.2} bits per weight in all); {smaller} would give {other:.2}");
        let said = folder.done(&format!("quantize --dry-run in.gguf {file_type}"));
        assert!(line(&said, "80 columns are no multiple of 32: ").ends_with(&end), "{said}");
        assert!((of(file_type)["alternative"]["bits_per_weight"].as_f64().unwrap() - other).abs() < 1e-9);
        assert_eq!(of(file_type)["alternative"]["file_type"], smaller);
    }
    let said = folder.done("quantize in.gguf out.gguf Q4_K_M");
    // attn_v is meant to be Q6_K in the second of the two layers.
    assert_eq!(
        line(&said, "576 columns"),
        "576 columns are no multiple of 256: Q4_K becomes Q5_0 in 5 tensors, Q6_K becomes Q8_0 in 1 tensor"
    );
    assert!(
        line(&said, "80 columns")
            .starts_with("80 columns are no multiple of 32: Q4_K becomes F16 in 2 tensors (")
    );
    let kinds = &of("Q4_K_M")["fallback_kinds"];
    assert_eq!(kinds.as_array().unwrap().len(), 3, "{kinds}");
    let expected = serde_json::json!({
        "columns": 576, "block_weights": 256, "meant": "Q4_K", "became": "Q5_0", "tensors": 5,
    });
    assert!(kinds.as_array().unwrap().contains(&expected), "{kinds}");
    // Nothing is smaller: nothing is said.
    let said = folder.done("quantize --dry-run in.gguf IQ4_XS");
    assert!(said.contains("IQ4_XS becomes IQ4_NL in ") && !said.contains("would give"), "{said}");
    assert_eq!(of("IQ4_XS")["alternative"], serde_json::Value::Null);
    // Where rows fit there is nothing to explain.
    let said = Folder::new().done("quantize --dry-run in.gguf Q4_K_M");
    assert!(!said.contains("columns"), "{said}");
}

fn bytes(weights: &[f32]) -> Vec<u8> {
    weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
}

#[test]
fn a_file_of_which_nothing_is_quantized_is_refused() {
    let of = |keys: &[(&str, &str)]| {
        let mut metadata = Metadata::new();
        for (key, value) in keys {
            metadata.set(*key, *value);
        }
        ModelFile::of(metadata)
    };
    let imatrix = of(&[("general.type", "imatrix")])
        .with_bytes("blk.0.attn_q.weight.in_sum2", &[256, 1], F32, bytes(&gaussian(1, 256)))
        .with_bytes("blk.0.attn_q.weight.counts", &[1, 1], F32, bytes(&[1.0]));
    let adapter =
        of(&[("general.type", "adapter"), ("adapter.type", "lora"), ("general.architecture", "llama")])
            .with_gaussian("blk.0.attn_q.weight.lora_a", &[256, 8], F32)
            .with_gaussian("blk.0.attn_q.weight.lora_b", &[8, 256], F32);
    let vectors = of(&[("general.architecture", "llama")]).with_gaussian("output_norm.weight", &[256], F32);
    let vocabulary = of(&[("general.architecture", "llama")]);
    for (file, kind, tensors) in [
        (&imatrix, "general.type \"imatrix\"", 2),
        (&adapter, "general.type \"adapter\"", 2),
        (&vectors, "general.architecture \"llama\"", 1),
        (&vocabulary, "general.architecture \"llama\"", 0),
    ] {
        let folder = Folder::with(file);
        let words =
            ["in.gguf: there is nothing to quantize", kind, &format!("none of its {tensors} tensors")];
        folder.refused("quantize in.gguf Q4_K_M", 1, &words);
        folder.refused("quantize --dry-run in.gguf Q4_K_M", 1, &words);
        folder.refused("quantize in.gguf out.gguf F16", 1, &words);
        folder.refused("dequantize in.gguf out.gguf BF16", 1, &words);
        // A rule by name does not make a tensor one that is quantized.
        folder.refused("quantize --tensor-type .*=Q8_0 in.gguf Q8_0", 1, &words);
        let ran = folder.run("quantize in.gguf out.gguf COPY");
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_converted(&folder.open("in.gguf"), &folder.open("out.gguf"));
        assert_eq!(names(&folder.open("out.gguf")).len(), tensors);
    }
    // All that there is may be kept.
    let folder = Folder::with(&ModelFile::llama().with_gaussian("output.weight", &[256, 2], F16));
    folder.refused("quantize --leave-output-tensor in.gguf Q8_0", 1, &["there is nothing to quantize"]);
}

#[test]
fn where_nothing_changes_and_that_is_right_it_is_said() {
    let folder = Folder::new();
    folder.done("quantize in.gguf q8.gguf Q8_0");
    folder.done("dequantize q8.gguf f32.gguf F32");
    for (arguments, note) in [
        ("quantize q8.gguf out.gguf Q8_0", Some("Q8_0")),
        ("quantize in.gguf out.gguf F16", Some("F16")),
        ("dequantize f32.gguf out.gguf F32", Some("F32")),
        ("quantize q8.gguf out.gguf COPY", None),
    ] {
        let ran = folder.run(&format!("{arguments} --force --json"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let expected = note.map_or_else(String::new, |file_type| {
            format!(
                "qmill: note: no tensor changes: all that {file_type} quantizes have its formats already\n"
            )
        });
        assert_eq!(ran.stderr, expected, "{arguments}");
        assert_eq!(super::json_lines(&ran.stdout).pop().unwrap()["converted"], 0);
    }
    let lines = super::json_lines(&folder.done("quantize --force --json in.gguf out.gguf Q8_0"));
    assert_eq!(lines.last().unwrap()["converted"], 6);
}

#[test]
fn what_has_no_effect_is_said() {
    let folder = Folder::new();
    let notes = |arguments: &str| -> Vec<String> {
        let ran = folder.run(&format!("quantize --dry-run {arguments}"));
        assert_eq!(ran.code, Some(0), "{arguments}: {}", ran.stderr);
        ran.stderr.lines().map(|line| line.strip_prefix("qmill: note: ").unwrap().to_owned()).collect()
    };
    let unmatched = "ffn_dwn=Q6_K matches the name of no tensor that is quantized";
    assert_eq!(notes("--tensor-type ffn_dwn=Q6_K --tensor-type ffn_down=Q6_K in.gguf Q4_K_M"), [unmatched]);
    // A vector is never quantized.
    assert!(
        notes("--tensor-type output_norm=Q8_0 in.gguf Q4_K_M")[0].starts_with("output_norm=Q8_0 matches")
    );
    assert_eq!(
        notes("--tensor-type ffn_down=Q6_K in.gguf F32"),
        ["formats by tensor name have no effect with F32"]
    );
    assert_eq!(
        notes("--output-tensor-type Q8_0 --token-embedding-type Q8_0 in.gguf COPY"),
        [
            "the format of the output has no effect with COPY",
            "the format of the embedding has no effect with COPY"
        ]
    );
    let layer = Folder::with(&ModelFile::llama().with_gaussian("blk.0.attn_q.weight", &[256, 4], F16));
    let ran =
        layer.run("quantize --dry-run --leave-output-tensor --token-embedding-type Q8_0 in.gguf Q4_K_M");
    assert_eq!(
        ran.stderr,
        "qmill: note: the format of the embedding has no effect: there is no token_embd.weight\n\
         qmill: note: leaving the output as it is has no effect: there is no output.weight\n"
    );
}

#[test]
fn words_of_other_programs_are_answered_with_those_of_this_one() {
    let folder = Folder::new();
    for (arguments, words) in [
        ("-ot exps=CPU in.gguf Q8_0", "--tensor-type REGEX=FORMAT chooses formats"),
        ("--override-tensor exps=CPU in.gguf Q8_0", "--tensor-type REGEX=FORMAT chooses formats"),
        ("in.gguf -o out.gguf Q8_0", "qmill quantize IN OUT TYPE"),
        ("in.gguf --outfile out.gguf Q8_0", "qmill quantize IN OUT TYPE"),
        ("in.gguf --outtype q8_0", "qmill quantize IN OUT TYPE"),
    ] {
        folder.refused(&format!("quantize {arguments}"), 2, &[words]);
    }
    // MiB, as llama-quantize has it.
    folder.done("quantize --max-buffer-size 1 in.gguf out.gguf Q8_0");
    folder.refused("quantize --max-buffer-size 0 in.gguf o.gguf Q8_0", 2, &["--max-buffer-size"]);
}

#[test]
fn a_dequantizing_run_can_be_dry() {
    let folder = Folder::new();
    folder.done("quantize in.gguf q.gguf Q4_K_M");
    let before = folder.files();
    let said = folder.done("dequantize --dry-run q.gguf out.gguf");
    assert!(said.contains("Q4_K -> F16") && said.ends_with(", not written: out.gguf\n"), "{said}");
    assert_eq!(folder.files(), before);
}

#[test]
fn memory_is_read_with_its_unit_and_must_hold_a_row() {
    let folder = Folder::new();
    // The longest row is one of ffn_down, 512 weights; its two forms have room for F16 each.
    folder.done("quantize --memory 2048 in.gguf a.gguf Q8_0");
    folder.done("quantize --memory 2.5k --threads 3 in.gguf b.gguf Q8_0");
    folder.done("quantize --memory 1GiB in.gguf c.gguf Q8_0");
    let file = fs::read(folder.path("a.gguf")).unwrap();
    assert!(["b.gguf", "c.gguf"].iter().all(|name| fs::read(folder.path(name)).unwrap() == file));
    let words = ["ffn_down", "2048", "2047", "--memory"];
    folder.refused("quantize --memory 2047 in.gguf d.gguf Q8_0", 1, &words);
    folder.refused("quantize --memory 12X in.gguf d.gguf Q8_0", 2, &["\"X\" is no unit"]);
    folder.refused("quantize --memory much in.gguf d.gguf Q8_0", 2, &["much"]);
}

#[test]
fn devices_and_threads() {
    let folder = Folder::new();
    folder.done("quantize --device cpu --threads 1 in.gguf a.gguf Q4_K_M");
    folder.done("quantize --device auto --threads 7 in.gguf b.gguf Q4_K_M");
    assert!(fs::read(folder.path("a.gguf")).unwrap() == fs::read(folder.path("b.gguf")).unwrap());
    folder.refused("quantize --device abacus in.gguf c.gguf Q4_K_M", 1, &["abacus"]);
    // As in llama.cpp, 0 and less are all cores.
    for flags in ["--threads 0", "--threads -1", "-t 0", "-t 3"] {
        folder.done(&format!("quantize --force --device cpu {flags} in.gguf b.gguf Q4_K_M"));
        assert!(fs::read(folder.path("a.gguf")).unwrap() == fs::read(folder.path("b.gguf")).unwrap());
    }
    folder.refused("quantize --threads two in.gguf c.gguf Q4_K_M", 2, &["\"two\" is no number of threads"]);
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

#[test]
fn a_number_that_is_none_is_named() {
    let mut weights = gaussian(1, 256 * 4);
    weights[2 * 256 + 17] = f32::NAN;
    let bytes = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let folder = Folder::with(&ModelFile::llama().with_bytes("blk.0.attn_q.weight", &[256, 4], F32, bytes));
    // The tensor is not done, so nothing is printed but the error.
    let words = ["blk.0.attn_q.weight: row 2, column 17 is NaN"];
    folder.refused("quantize in.gguf out.gguf Q4_K_M", 1, &words);
    folder.refused("quantize in.gguf out.gguf COPY", 1, &words);
    folder.refused("dequantize in.gguf out.gguf BF16", 1, &words);
}

#[test]
fn a_quantized_model_becomes_floats() {
    let folder = Folder::new();
    folder.done("quantize in.gguf q.gguf Q4_K_M");
    let source = folder.open("q.gguf");
    for (arguments, format, number) in
        [("", F16, 1), ("F16", F16, 1), ("f32", F32, 0), ("BF16", Format::BF16, 32)]
    {
        folder.done(&format!("dequantize --force q.gguf out.gguf {arguments}"));
        let result = folder.open("out.gguf");
        assert_eq!(result.metadata().u64_of("general.file_type"), Some(number));
        for name in names(&result) {
            let expected = if name == "output_norm.weight" { F32 } else { format };
            assert_eq!(format_of(&result, &name), expected, "{name}");
        }
        assert_converted(&source, &result);
    }
    folder.refused("dequantize q.gguf o.gguf Q8_0", 2, &["F32, F16 or BF16"]);
    folder.refused("dequantize q.gguf", 2, &["<OUT>"]);
    folder.done("quantize --pure in.gguf pure.gguf Q1_0");
    assert_eq!(format_of(&folder.open("pure.gguf"), "output.weight"), Q1_0);
    assert_eq!(format_of(&source, "blk.1.ffn_down.weight"), Q6_K);
    assert_eq!(format_of(&source, "token_embd.weight"), Q4_K);
}
