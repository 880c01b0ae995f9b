//! Reports of several machines as one, and the rules of "best for".

use super::{failure, json, report, stdout};
use qmill::report::{Report, best, merge};
use std::fs;
use std::path::{Path, PathBuf};

/// A report as another machine might have written it.
fn made(device: &str, rows: &[(&str, u64, f64, f64, f64)]) -> Report {
    let rows: Vec<String> = rows
        .iter()
        .map(|(name, bytes, perplexity, divergence, rate)| {
            let is_base = name.ends_with("(base)");
            let divergence = if is_base {
                "null".to_owned()
            } else {
                format!(
                    r#"{{"log_ratio": {{"value": 0.1, "error": 0.01}},
                        "mean": {{"value": {divergence}, "error": 0.001}}, "position_error": 0.002,
                        "median": 0.1, "percentile_99": 0.2, "largest": 0.3,
                        "same_top": {{"value": 0.9, "error": null}}, "rms_difference": 0.05,
                        "chunk_means": [{divergence}, {divergence}]}}"#
                )
            };
            format!(
                r#"{{"name": "{name}", "is_base": {is_base}, "file_bytes": {bytes}, "bits_per_weight": 4.5,
                    "error": null,
                    "quality": {{"perplexity": {{"value": {perplexity}, "error": 0.5}},
                                 "divergence": {divergence}}},
                    "speeds": [{{"device": "{device}", "weight_bytes": {bytes}, "cache_bytes": 1000,
                                 "prompt": {{"value": 100.0, "error": 1.0}},
                                 "generation": {{"value": {rate}, "error": null}}}}]}}"#
            )
        })
        .collect();
    let json = format!(
        r#"{{"kind": "qmill report", "version": 1, "qmill": "0.1.0",
            "base": {{"file": "base.gguf", "model": "llama X, hash 1", "weights": 10, "is_quantized": false}},
            "text": {{"name": "text", "tokens": "8 tokens, hash 2", "chunk_tokens": 4, "chunks": 2, "bos": 1,
                      "predicted": 2, "device": "{device}", "precision": "exact"}},
            "cases": {{"prompt": 8, "generated": 4, "repetitions": 1}}, "cache_tokens": 16,
            "memory_limit": null, "rows": [{}]}}"#,
        rows.join(",")
    );
    Report::from_json(&json, Path::new("made.json")).unwrap()
}

const BASE: (&str, u64, f64, f64, f64) = ("F16 (base)", 16_000_000, 10.0, 0.0, 5.0);
const LARGE: (&str, u64, f64, f64, f64) = ("Q8_0", 8_000_000, 10.01, 0.001, 9.0);
const MIDDLE: (&str, u64, f64, f64, f64) = ("Q5_K_M", 5_000_000, 10.1, 0.01, 7.0);
const SMALL: (&str, u64, f64, f64, f64) = ("Q3_K_M", 3_000_000, 10.11, 0.1, 8.0);

#[test]
fn rules_choose_what_they_say() {
    let mut report = made("A", &[BASE, LARGE, MIDDLE, SMALL]);
    let chosen = |report: &Report| -> Vec<(String, Option<String>)> {
        let name = |row: usize| report.rows[row].name.clone();
        best(report).into_iter().map(|rule| (rule.word, rule.row.map(name))).collect()
    };
    let pair = |word: &str, name: Option<&str>| (word.to_owned(), name.map(str::to_owned));
    // 10.1 is 1 % above 10; 10.11 is more. The base itself is never chosen.
    let expected =
        [pair("size", Some("Q5_K_M")), pair("generation", Some("Q8_0")), pair("prompt", Some("Q8_0"))];
    assert_eq!(chosen(&report), expected);
    report.memory_limit = Some(5_001_000);
    assert_eq!(chosen(&report)[3], pair("memory", Some("Q5_K_M")));
    report.memory_limit = Some(5_000_999);
    assert_eq!(chosen(&report)[3], pair("memory", Some("Q3_K_M")));
    report.memory_limit = Some(1000);
    assert_eq!(chosen(&report)[3], pair("memory", None));
    let text = qmill::report::terminal_table(&report);
    assert!(text.contains("at most 0.0 MiB on A: no type."), "{text}");
    let worse = made("A", &[BASE, SMALL]);
    assert_eq!(chosen(&worse)[0], pair("size", None));
}

#[test]
fn merged_reports_have_all_rows_and_devices() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, report: &Report| {
        let path = folder.path().join(name);
        fs::write(&path, report.to_json()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let a = save("a.json", &made("GPU A", &[BASE, LARGE, SMALL]));
    let b = save("b.json", &made("GPU B", &[BASE, LARGE, MIDDLE]));
    let again = save("again.json", &made("GPU A", &[BASE, LARGE]));
    let merged = stdout(&["report", "--merge", &a, &b, &again, "--json"]);
    let merged = Report::from_json(&merged, Path::new("merged")).unwrap();
    let rows: Vec<(&str, Vec<&str>)> = merged
        .rows
        .iter()
        .map(|row| (row.name.as_str(), row.speeds.iter().map(|speed| speed.device.as_str()).collect()))
        .collect();
    let all = vec!["GPU A", "GPU B", "GPU A in again.json"];
    let expected =
        [("F16 (base)", all.clone()), ("Q8_0", all), ("Q5_K_M", vec!["GPU B"]), ("Q3_K_M", vec!["GPU A"])];
    assert_eq!(rows, expected);
    let out = folder.path().join("out");
    let printed = stdout(&["report", "--merge", &a, &b, "-o", out.to_str().unwrap()]);
    assert!(printed.contains("A: generation t/s") && printed.contains("A is GPU A, B is GPU B"), "{printed}");
    assert_eq!(crate::support::files_in(&out), ["report.html", "report.json", "report.md"]);
}

#[test]
fn reports_that_differ_are_not_merged() {
    let first = made("A", &[BASE, LARGE]);
    let with = |change: &dyn Fn(&mut Report)| {
        let mut other = first.clone();
        change(&mut other);
        let pair = [(PathBuf::from("a.json"), first.clone()), (PathBuf::from("b.json"), other)];
        merge(&pair).unwrap_err().to_string()
    };
    let start = "a.json and b.json cannot be joined: ";
    for (error, what) in [
        (with(&|report| report.base.model = "llama Y, hash 3".to_owned()), "the base is llama X, hash 1 in"),
        (with(&|report| report.text.tokens = "9 tokens".to_owned()), "the text is 8 tokens, hash 2 in"),
        (with(&|report| report.text.chunks = 3), "the number of chunks is 2 in the first and 3 in"),
        (with(&|report| report.text.bos = None), "the first token of a chunk is 1 in"),
        (with(&|report| report.cases = None), "the way of measuring speed is"),
        (with(&|report| report.rows[1].file_bytes += 1), "the size of Q8_0 is 8000000 in"),
    ] {
        assert!(error.starts_with(&format!("{start}{what}")), "{error}");
    }
    assert!(merge(&[]).is_err());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.json");
    for (text, word) in [
        ("{", "EOF"),
        ("{\"kind\": \"qmill report\"}", "missing field"),
        (&*first.to_json().replace("\"version\": 1", "\"version\": 2"), "of version 2"),
        (&*first.to_json().replace("qmill report", "another"), "\"another\""),
    ] {
        fs::write(&file, text).unwrap();
        let (line, code) = failure(&["report", "--merge", file.to_str().unwrap()]);
        assert!(code == 1 && line.contains("other.json: a report of") && line.contains(word), "{line}");
    }
}

#[test]
fn a_report_reads_what_it_writes() {
    let found = report(&["--types", "Q4_0"]);
    assert_eq!(Report::from_json(&found.to_json(), Path::new("x")).unwrap(), found);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    fs::write(&file, found.to_json()).unwrap();
    let object = json(&["report", "--merge", file.to_str().unwrap()]);
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let expected =
        ["kind", "version", "qmill", "base", "text", "cases", "cache_tokens", "memory_limit", "rows"];
    assert_eq!(keys(&object), expected);
    let row = ["name", "is_base", "file_bytes", "bits_per_weight", "error", "quality", "speeds"];
    assert_eq!(keys(&object["rows"][1]), row);
}
