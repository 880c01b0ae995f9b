//! What can be asked for, and what is refused.

use super::Folder;
use crate::support::{ModelFile, assert_converted, format_of, names};
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
    folder.refused("quantize in.gguf out.gguf Q8_0 0", 2, &["\"0\" is no number of threads"]);
    folder.refused("quantize in.gguf out.gguf Q8_0 1 2", 2, &["2"]);
    folder.refused("quantize in.gguf out.gguf Q9_0", 2, &["\"Q9_0\" is no file type"]);
    folder.refused("quantize in.gguf out.gguf", 2, &["\"out.gguf\" is no file type"]);
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
    assert!(said.contains("Q5_0 (rows do not fit Q4_K)") && said.contains("1 tensors got another"), "{said}");
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
    folder.refused("quantize --threads 0 in.gguf c.gguf Q4_K_M", 2, &["--threads"]);
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
    let mut weights = crate::support::gaussian(1, 256 * 4);
    weights[2 * 256 + 17] = f32::NAN;
    let bytes = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let folder = Folder::with(&ModelFile::llama().with_bytes("blk.0.attn_q.weight", &[256, 4], F32, bytes));
    // The tensor is not done, so nothing is printed but the error.
    let words = ["blk.0.attn_q.weight: row 2, column 17 is NaN"];
    folder.refused("quantize in.gguf out.gguf Q4_K_M", 1, &words);
    folder.refused("quantize in.gguf out.gguf COPY", 1, &words);
    folder.refused("dequantize in.gguf out.gguf F32", 1, &words);
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
