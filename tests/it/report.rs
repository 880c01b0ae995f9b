//! `qmill report` and its library, on the tiny model.

mod base_logits;
mod faults;
mod merged;
pub(crate) mod page;

use crate::support::TINY_SHAKESPEARE;
use qmill::bench::{ModelCase, ModelSettings};
use qmill::report::{Report, Row};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// What the tiny model was not trained on; also the text inside the program.
const HELD_OUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/held-out.txt");
/// The text of most tests here: three chunks.
const CHUNKS: [&str; 4] = ["-c", "64", "--chunks", "3"];

fn qmill(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_qmill")).args(arguments).output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let ran = qmill(arguments);
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(&[arguments, &["--json"]].concat())).unwrap()
}

/// The one line of an error, and the exit code.
#[track_caller]
fn failure(arguments: &[&str]) -> (String, i32) {
    let ran = qmill(arguments);
    let errors = String::from_utf8(ran.stderr).unwrap();
    let line = errors.lines().filter(|line| !line.contains("note:")).collect::<Vec<_>>().join("\n");
    assert!(!ran.status.success(), "{arguments:?}");
    (line, ran.status.code().unwrap())
}

/// A report on the CPU with little speed measured.
fn report(more: &[&str]) -> Report {
    let quick = ["report", "-m", TINY_SHAKESPEARE, "--device", "cpu", "-p", "4", "-n", "2", "-r", "2"];
    let text = stdout(&[&quick[..], &CHUNKS, more, &["--json"]].concat());
    Report::from_json(&text, Path::new("output")).unwrap()
}

#[test]
fn a_report_has_the_figures_of_the_other_commands() {
    let folder = tempfile::tempdir().unwrap();
    let found = report(&["--types", "Q8_0,Q3_K_M,Q2_K", "-f", HELD_OUT]);
    let names: Vec<&str> = found.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["F16 (base)", "Q8_0", "Q3_K_M", "Q2_K"]);
    let measure = |more: &[&str]| {
        let same = ["perplexity", "-m", TINY_SHAKESPEARE, "-f", HELD_OUT, "--device", "cpu"];
        json(&[&same[..], &CHUNKS, more].concat())
    };
    let alone = measure(&[]);
    for row in &found.rows {
        assert_eq!(row.quality.divergence.is_none(), row.is_base);
        if row.is_base {
            same(row.quality.perplexity.value, &alone["perplexity"]);
            same(row.quality.perplexity.error.unwrap(), &alone["perplexity_error"]);
            compare_file(row, TINY_SHAKESPEARE);
            continue;
        }
        let predicted = measure(&["--quantize", &row.name, "--base", TINY_SHAKESPEARE]);
        assert_eq!(found.text.predicted, predicted["tokens"].as_u64().unwrap());
        same(row.quality.perplexity.value, &predicted["perplexity"]);
        same(row.quality.perplexity.error.unwrap(), &predicted["perplexity_error"]);
        let (divergence, base) = (row.quality.divergence.as_ref().unwrap(), &predicted["base"]);
        assert_eq!(base["perplexity"], alone["perplexity"]);
        for (value, key) in [
            (divergence.log_ratio.value, "log_ratio"),
            (divergence.log_ratio.error.unwrap(), "log_ratio_error"),
            (divergence.mean.value, "kl_divergence"),
            (divergence.position_error, "kl_divergence_error"),
            (divergence.mean.error.unwrap(), "kl_divergence_error_by_chunk"),
            (divergence.median, "kl_divergence_median"),
            (divergence.percentile_99, "kl_divergence_99"),
            (divergence.largest, "kl_divergence_maximum"),
            (divergence.same_top.value, "same_top"),
            (divergence.same_top.error.unwrap(), "same_top_error"),
            (divergence.rms_difference, "rms_difference"),
        ] {
            same(value, &base[key]);
        }
        assert_eq!(divergence.chunk_means.len(), 3);

        let file = folder.path().join(format!("{}.gguf", row.name));
        let file = file.to_str().unwrap();
        stdout(&["quantize", TINY_SHAKESPEARE, file, &row.name]);
        compare_file(row, file);
        let compared = json(&["compare", TINY_SHAKESPEARE, file]);
        let error = row.error.as_ref().unwrap();
        same(error.sqnr_db.unwrap(), &compared["total"]["sqnr_db"]);
        same(error.rmse, &compared["total"]["rmse"]);
        same(error.max_error, &compared["total"]["max_error"]);
        let tensors = compared["tensors"].as_array().unwrap();
        assert_eq!(error.tensors.len(), tensors.len());
        for tensor in &error.tensors {
            let other = tensors.iter().find(|other| other["name"] == tensor.name.as_str()).unwrap();
            assert_eq!(other["format"], tensor.format.as_str());
            assert_eq!(other["sqnr_db"].as_f64(), tensor.sqnr_db, "{}", tensor.name);
        }
    }
    // Worse types have larger errors; no row repeats another's figures.
    let divergences: Vec<f64> = found.rows.iter().filter_map(Row::divergence).collect();
    assert!(divergences.is_sorted_by(|a, b| a < b), "{divergences:?}");

    // Without -f, the text is the same.
    assert_eq!(report(&["--types", "Q8_0"]).text.tokens, found.text.tokens);
}

/// Equal to the last bit: JSON keeps every digit.
#[track_caller]
fn same(value: f64, printed: &Value) {
    assert_eq!(Some(value), printed.as_f64());
}

/// Compares the sizes of a row with those that `inspect` reads from a file.
fn compare_file(row: &Row, file: &str) {
    let inspected = json(&["inspect", file]);
    assert_eq!(Some(row.file_bytes), inspected["file_bytes"].as_u64(), "{}", row.name);
    same(row.bits_per_weight, &inspected["bits_per_weight"]);
}

#[test]
fn like_is_the_file_that_quantize_like_makes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("like.gguf");
    let file = file.to_str().unwrap();
    stdout(&["quantize", "--device", "cpu", "--like", "Q4_K_M", TINY_SHAKESPEARE, file]);
    let found = report(&["--types", "Q4_K_M,like:Q4_K_M", "-f", HELD_OUT]);
    let [_, mix, like] = found.rows.as_slice() else { panic!("{:?}", found.rows.len()) };
    assert_eq!(like.name, "like:Q4_K_M");
    assert!(like.file_bytes <= mix.file_bytes);
    compare_file(like, file);
    let same_text = ["perplexity", "-m", file, "--base", TINY_SHAKESPEARE, "-f", HELD_OUT, "--device", "cpu"];
    let predicted = json(&[&same_text[..], &CHUNKS].concat());
    same(like.quality.perplexity.value, &predicted["perplexity"]);
    same(like.quality.divergence.as_ref().unwrap().mean.value, &predicted["base"]["kl_divergence"]);
}

#[test]
fn speed_is_measured_as_bench_measures_it() {
    let found = report(&["--types", "Q4_0", "-t", "1"]);
    let cases = found.cases.unwrap();
    assert_eq!((cases.prompt, cases.generated, cases.repetitions), (4, 2, 2));
    for row in &found.rows {
        let [speed] = row.speeds.as_slice() else { panic!("{row:?}") };
        assert!(speed.device.starts_with("CPU (") && speed.device.ends_with(", 1 threads)"), "{speed:?}");
        for rate in [speed.prompt, speed.generation] {
            let rate = rate.unwrap();
            assert!(rate.value > 0.0 && rate.error.unwrap() >= 0.0, "{rate:?}");
        }
    }
    // Memory is that of the model when it is loaded.
    let load =
        qmill::llm::LoadOptions::default().with_quantize("Q4_0".parse::<qmill::mix::FileType>().unwrap());
    let model = qmill::llm::Model::load(TINY_SHAKESPEARE, &load).unwrap();
    let speed = &found.rows[1].speeds[0];
    assert_eq!((speed.weight_bytes, speed.cache_bytes), (model.device_bytes(), model.cache_bytes()));
    assert_eq!(found.cache_tokens, model.context());
    // And a case of no tokens is what the measuring function refuses, so it is left out.
    let none = ModelCase { prompt: 0, generated: 0, depth: 0 };
    assert!(none.measure(&model, &ModelSettings::default(), &mut |_| ()).is_err());
    let none = ["report", "-m", TINY_SHAKESPEARE, "--device", "cpu", "--types", "Q4_0", "-p", "0", "-n", "0"];
    let text = stdout(&[&none[..], &CHUNKS, &["--json"]].concat());
    let none = Report::from_json(&text, Path::new("output")).unwrap();
    assert!(none.cases.is_none() && none.rows.iter().all(|row| row.speeds[0].prompt.is_none()));
}
