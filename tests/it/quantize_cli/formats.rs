//! Options that choose formats, and what is reported of the choice.

use super::Folder;
use crate::support::{ModelFile, assert_converted, format_of, gaussian, names};
use qmill::Format::{self, F16, F32, Q2_K, Q3_K, Q4_0, Q4_K, Q5_K, Q6_K, Q8_0};
use qmill::gguf::Metadata;
use std::fs;

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
    // In any case, anywhere in the name, the first match applies.
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
    // If another format may replace it, that is done and reported.
    let said = folder.done("quantize --pure in.gguf out.gguf Q4_K_S");
    assert_eq!(format_of(&folder.open("out.gguf"), "blk.0.attn_q.weight"), Format::Q5_0);
    assert!(said.contains("F16 -> Q5_0 and not Q4_K (576 columns are no multiple of 256)"), "{said}");
}

/// The shape of SmolLM2 135M: rows of 576 are not a multiple of the blocks of K-quants.
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
    // The size of the other type is that of its own dry run.
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
    // No type is smaller, so none is suggested.
    let said = folder.done("quantize --dry-run in.gguf IQ4_XS");
    assert!(said.contains("IQ4_XS becomes IQ4_NL in ") && !said.contains("would give"), "{said}");
    assert_eq!(of("IQ4_XS")["alternative"], serde_json::Value::Null);
    // Without replacements there is no explanation.
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
    // The only tensor is kept by an option.
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
fn a_number_that_is_none_is_named() {
    let mut weights = gaussian(1, 256 * 4);
    weights[2 * 256 + 17] = f32::NAN;
    let bytes = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let folder = Folder::with(&ModelFile::llama().with_bytes("blk.0.attn_q.weight", &[256, 4], F32, bytes));
    // The tensor is not complete, so only the error is printed.
    let words = ["blk.0.attn_q.weight: row 2, column 17 is NaN"];
    folder.refused("quantize in.gguf out.gguf Q4_K_M", 1, &words);
    folder.refused("quantize in.gguf out.gguf COPY", 1, &words);
    folder.refused("dequantize in.gguf out.gguf BF16", 1, &words);
}
