//! `qmill quantize` with a target instead of a type.

use super::{Folder, json_lines};
use crate::support::{ModelFile, TINY_SHAKESPEARE, dequantized, gaussian, quantized};
use qmill::Format::{F16, F32, Q4_0};
use std::fs;

fn tiny() -> Folder {
    let folder = Folder(tempfile::tempdir().unwrap());
    fs::copy(TINY_SHAKESPEARE, folder.path("in.gguf")).unwrap();
    folder
}

fn bytes(folder: &Folder, name: &str) -> u64 {
    fs::metadata(folder.path(name)).unwrap().len()
}

#[test]
fn a_target_takes_the_place_of_a_type() {
    let folder = tiny();
    folder.done("quantize --device cpu in.gguf mix.gguf Q4_K_M");
    let told = folder.done("quantize --device cpu --like Q4_K_M --explain in.gguf out.gguf 2");
    assert!(bytes(&folder, "out.gguf") <= bytes(&folder, "mix.gguf"));
    for word in ["role", "ffn_down", "of the loss", "expected loss -", "against Q4_K_M"] {
        assert!(told.contains(word), "no {word:?} in {told}");
    }
    // Without OUT, the target is part of the name.
    folder.done("quantize --device cpu --target-size 2.1MB in.gguf");
    folder.done("quantize --device cpu --target-bpw 4.5 in.gguf 1");
    folder.done("quantize --device cpu --like Q3_K_M in.gguf");
    let files = folder.files();
    for name in ["in-2.00MiB.gguf", "in-4.5bpw.gguf", "in-like-Q3_K_M.gguf"] {
        assert!(files.contains(&name.to_owned()), "{name}: {files:?}");
    }
    assert!(bytes(&folder, "in-2.00MiB.gguf") <= 2_100_000);
}

#[test]
fn a_recipe_and_a_state_make_the_file_again() {
    let folder = tiny();
    let like = "quantize --device cpu --like Q4_K_M --state state.json";
    folder.done(&format!("{like} --recipe-out recipe.txt in.gguf out.gguf"));
    folder.done("quantize --device cpu --tensor-type-file recipe.txt in.gguf again.gguf Q4_K_M");
    folder.done(&format!("{like} in.gguf third.gguf"));
    let read = |name: &str| fs::read(folder.path(name)).unwrap();
    assert!(read("out.gguf") == read("again.gguf") && read("out.gguf") == read("third.gguf"));
    folder.refused(&format!("{like} --recipe-out recipe.txt in.gguf x.gguf"), 1, &["recipe.txt", "exists"]);
    fs::write(folder.path("state.json"), "[]").unwrap();
    folder.refused(&format!("{like} in.gguf x.gguf"), 1, &["state.json", "no file of measured errors"]);
}

#[test]
fn json_has_what_was_chosen() {
    let folder = tiny();
    let lines = json_lines(&folder.done("quantize --device cpu --like Q4_K_M --json in.gguf out.gguf"));
    let fit = &lines.last().unwrap()["fit"];
    assert_eq!(fit["mix"], "Q4_K_M");
    assert!(fit["loss"].as_f64().unwrap() < fit["mix_loss"].as_f64().unwrap());
    let tensors = fit["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 30);
    let sum: f64 = tensors
        .iter()
        .map(|tensor| tensor["sensitivity"].as_f64().unwrap() * tensor["error"].as_f64().unwrap())
        .sum();
    assert!((sum - fit["loss"].as_f64().unwrap()).abs() < 1e-12);
    // From the header alone, nothing is written.
    let before = folder.files();
    let planned = json_lines(&folder.done("quantize --like Q4_K_M --plan --json in.gguf"));
    assert!(planned[0]["fit"]["loss"].as_f64().unwrap() > 0.0);
    assert_eq!(folder.files(), before);
}

#[test]
fn a_memory_is_filled_but_for_cache_and_buffers() {
    let folder = tiny();
    let size = |memory: &str, context: u32| {
        let arguments = format!("--fit-memory {memory} --context {context}");
        let told = folder.done(&format!("quantize --plan --json {arguments} in.gguf"));
        json_lines(&told)[0]["fit"]["max_bytes"].as_u64().unwrap()
    };
    let (short, long) = (size("7MB", 16), size("7MB", 64));
    assert!(short < 7_000_000 && long < short, "{short} {long}");
    folder.refused("quantize --fit-memory 1MB in.gguf", 1, &["beside the weights", "the memory has 1000000"]);
}

#[test]
fn targets_that_cannot_be_met_are_refused() {
    let folder = tiny();
    let refused = |arguments: &str, code, words: &[&str]| {
        folder.refused(&format!("quantize --device cpu {arguments} in.gguf"), code, words);
    };
    refused("--like IQ2_M", 2, &["IQ2_M needs an importance matrix"]);
    refused("--like COPY", 1, &["leaves no types to choose"]);
    refused("--target-size 1MB", 1, &["1000000 bytes are too few", "the file has 1"]);
    refused("--target-size 1GB", 1, &["leave nothing to save"]);
    refused("--target-size 1G", 2, &["is no size"]);
    refused("--target-bpw 40", 2, &["is no number of bits per weight"]);
    refused("--like Q4_K_M --target-bpw 4", 2, &["cannot be used with"]);
    refused("--like Q4_K_M --pure", 2, &["use one of both"]);
    refused("--like Q4_K_M --types IQ2_XXS", 2, &["IQ2_XXS"]);
    refused("--like Q4_K_M --sensitivity none.txt", 1, &["none.txt", "cannot read"]);
    refused("--like Q4_K_M --text in.gguf", 2, &["it needs --sensitivity measured"]);
    folder.refused("quantize --like Q4_K_M in.gguf out.gguf Q4_K_M", 2, &["use one of both"]);
    folder.refused("quantize --explain in.gguf Q4_K_M", 2, &["--explain needs a target"]);
    folder.refused("quantize --active-limit 1 in.gguf Q4_K_M", 2, &["--active-limit needs a target"]);
    // Before anything is measured.
    fs::write(folder.path("there.gguf"), "there").unwrap();
    let to = "quantize --device cpu --like Q4_K_M --state measured.json in.gguf there.gguf";
    folder.refused(to, 1, &["there.gguf", "exists", "--force"]);
    assert!(!folder.path("measured.json").exists());
    folder.refused("quantize --like Q4_K_M in.gguf out.gguf more.gguf", 2, &["one argument too many"]);
    fs::write(folder.path("short.txt"), "a few words").unwrap();
    refused("--like Q4_K_M --sensitivity measured --text short.txt", 1, &["the text has", "at least 256"]);
    // A model that has no such metadata is not run.
    let unknown = Folder::with(
        &ModelFile::llama().with_gaussian("blk.0.attn_v.weight", &[256, 64], F16).with_gaussian(
            "output.weight",
            &[256, 64],
            F16,
        ),
    );
    let arguments = "quantize --device cpu --like Q4_K_M --sensitivity measured in.gguf";
    unknown.refused(arguments, 1, &["qmill cannot run it", "--sensitivity table"]);
}

#[test]
fn weights_on_a_lattice_are_warned_of() {
    let weights = dequantized(Q4_0, &quantized(Q4_0, &gaussian(1, 256 * 64)));
    let file = ModelFile::llama().with("blk.0.attn_v.weight", &[256, 64], F32, &weights).with_gaussian(
        "output.weight",
        &[256, 64],
        F32,
    );
    let folder = Folder::with(&file);
    let ran = folder.run("quantize --device cpu in.gguf out.gguf Q4_K_M");
    assert_eq!(ran.code, Some(0));
    let expected = "qmill: warning: the weights of blk.0.attn_v.weight lie on the lattice of Q4_0";
    assert!(ran.stderr.starts_with(expected), "{}", ran.stderr);
    // As Q4_0 it loses nothing, and the other tensor lies on no lattice.
    folder.done("quantize --device cpu in.gguf other.gguf Q4_0");
}
