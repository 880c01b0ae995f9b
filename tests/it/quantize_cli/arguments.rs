//! The arguments of `qmill quantize` and `qmill dequantize`.

use super::Folder;
use crate::support::{TINY_SHAKESPEARE, assert_converted, format_of, names};
use qmill::Format::{self, F16, F32, Q1_0, Q4_K, Q6_K};
use qmill::gguf::Value;
use std::fs;

#[test]
fn positional_arguments_are_told_apart() {
    for (arguments, output, file_type) in [
        ("Q4_K_M", "in-Q4_K_M.gguf", 15),
        ("15", "in-Q4_K_M.gguf", 15),
        ("q8_0", "in-Q8_0.gguf", 7),
        ("Q4_K", "in-Q4_K_M.gguf", 15),
        ("Q4_K_M 3", "in-Q4_K_M.gguf", 15),
        ("15 8", "in-Q4_K_M.gguf", 15),
        // All cores, as in llama-quantize.
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
    // A type that qmill cannot write is still a type, not the name of the output.
    folder.refused("quantize in.gguf IQ2_XS 8", 2, &["IQ2_XS needs an importance matrix"]);
    folder.refused("quantize in.gguf IQ3_S 8", 2, &["IQ3_S is not encoded"]);
    folder.refused("quantize in.gguf out.gguf Q9_0", 2, &["\"Q9_0\" is no file type"]);
    folder.refused("quantize in.gguf out.gguf", 2, &["\"out.gguf\" is no file type"]);
}

#[test]
fn metadata_of_every_kind_is_set() {
    let folder = Folder::new();
    let flags = "--override-kv a=int:7 --override-kv b=int:-7 --override-kv c=float:0.5 \
                 --override-kv d=bool:true --override-kv e=str:x=y:z --override-kv general.name=str:";
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
    // With these keys the file could not be opened.
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
    // A hint names only options of this subcommand.
    folder.done(&format!("quantize --device cpu {TINY_SHAKESPEARE} t.gguf Q8_0"));
    let ran = folder.run("run --device cpu -m t.gguf --quantize Q4_K_M -p x -n 1");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("is Q8_0 already") && !ran.stderr.contains("--allow"), "{}", ran.stderr);
    folder.done("quantize --allow-requantize q.gguf out.gguf Q4_K_M");
    assert_converted(&folder.open("q.gguf"), &folder.open("out.gguf"));
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
    // MiB, as in llama-quantize.
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
    // As in llama.cpp, 0 and negative numbers mean all cores.
    for flags in ["--threads 0", "--threads -1", "-t 0", "-t 3"] {
        folder.done(&format!("quantize --force --device cpu {flags} in.gguf b.gguf Q4_K_M"));
        assert!(fs::read(folder.path("a.gguf")).unwrap() == fs::read(folder.path("b.gguf")).unwrap());
    }
    folder.refused("quantize --threads two in.gguf c.gguf Q4_K_M", 2, &["\"two\" is no number of threads"]);
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
