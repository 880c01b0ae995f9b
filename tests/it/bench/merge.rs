//! `qmill bench --merge`: tables and pages of several machines.

use super::qmill;
use crate::report::page::{check_alone, check_markup};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// A record as `-o jsonl` writes it, as far as it is read.
fn operation(device: &str, op: &str, format: &str, median_ns: f64) -> Value {
    let is_gpu = device.starts_with("GPU");
    json!({
        "build_commit": "abc", "cpu_info": if is_gpu { "host" } else { device },
        "gpu_info": if is_gpu { device } else { "" }, "backends": if is_gpu { "metal" } else { "CPU" },
        "driver": "driver 1", "os": "linux: Debian", "cpu_cores": 8, "memory_bytes": 17_179_869_184u64,
        "n_threads": if is_gpu { Value::Null } else { json!(4) },
        "peak_copy_gb_s": 90.0, "peak_copy_gb_s_after": 95.0,
        "peak_read_gb_s": 100.0, "peak_read_gb_s_after": if is_gpu { 100.0 } else { 80.0 },
        "op": op, "format": format, "m": 16, "n": if op == "quantize" { 1 } else { 4 }, "k": 64,
        "variant": if op == "quantize" { "auto" } else { "int8" }, "median_ns": median_ns,
        "gb_s": 1e3 / median_ns,
        "gflop_s": if op == "quantize" { Value::Null } else { json!(2e3 / median_ns) },
        "memory_share": 10.0 / median_ns, "compute_share": 5.0 / median_ns,
    })
}

fn test(device: &str, model: &str, test: &str, rate: f64) -> Value {
    json!({
        "build_commit": "abc", "cpu_info": device, "gpu_info": "", "backends": "CPU", "driver": "",
        "os": "linux", "cpu_cores": 8, "memory_bytes": null, "model_filename": "a.gguf", "model_type": model,
        "n_prompt": 1, "n_gen": 0, "n_depth": 0, "n_batch": 2048, "n_ubatch": 512, "n_threads": 4,
        "type_k": "f16", "type_v": "f16", "precision": "exact", "test": test, "avg_ns": 5,
        "avg_ts": rate, "stddev_ts": 0.5,
    })
}

fn lines(records: &[Value]) -> String {
    records.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
}

fn merged(style: &str, files: &[&Path]) -> Result<String, (Option<i32>, String)> {
    let files = files.iter().map(|path| path.to_str().unwrap());
    let output = qmill_merge(&["-o", style, "--merge"].into_iter().chain(files).collect::<Vec<_>>());
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err((output.status.code(), String::from_utf8(output.stderr).unwrap()))
    }
}

fn qmill_merge(arguments: &[&str]) -> std::process::Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_qmill")).arg("bench").args(arguments).output().unwrap()
}

/// The cells of the row that starts with these.
fn row<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let line = text.lines().find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("no {start:?} in\n{text}"));
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn operations_of_several_machines_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first.jsonl", "second.json"].map(|name| folder.path().join(name));
    let of_cpu = [
        operation("CPU <b>|", "matvec", "Q4_0", 200.0),
        // The last of two counts.
        operation("CPU <b>|", "matvec", "Q8_0", 999.0),
        operation("CPU <b>|", "matvec", "Q8_0", 400.0),
        operation("CPU <b>|", "quantize", "Q4_0", 500.0),
    ];
    // More than the peak.
    let of_gpu = [operation("GPU", "matvec", "Q8_0", 8.0), operation("GPU", "matmul", "Q8_0", 20.0)];
    fs::write(&first, lines(&of_cpu)).unwrap();
    fs::write(&second, json!(of_gpu).to_string()).unwrap();

    let text = merged("md", &[&first, &second]).unwrap();
    let machine = row(&text, "| A |");
    assert_eq!(machine[..2], ["A", "CPU &lt;b>\\"], "{text}");
    assert!(text.contains("| B | GPU (metal) | driver 1 | linux: Debian | host | 8 | 16.0 GiB | – | abc |"));
    // Peaks before and after, those that moved marked, and told in a sentence.
    assert!(text.contains("| A | 90.0 → 95.0 | 100.0 → 80.0 ! |"), "{text}");
    assert!(text.contains("| B | 90.0 → 95.0 | 100.0 → 100.0 |"), "{text}");
    assert!(text.contains("- A: peaks have moved: read from 100.0 to 80.0 GB/s; something"), "{text}");
    assert_eq!(text.matches("peaks have moved").count(), 1, "{text}");
    let heading = row(&text, "| format | shape | n |");
    let columns = ["A: µs", "A: GB/s", "A: share of peak", "B: µs", "B: GB/s", "B: share of peak"];
    assert_eq!(heading[4..], columns);
    let cells = row(&text, "| Q4\\_0 | 16x64 | 4 |");
    assert_eq!(cells[3..], ["int8", "0.2", "5.0", "5.0 % memory", "–", "–", "–"], "{text}");
    let cells = row(&text, "| Q8\\_0 | 16x64 | 4 |");
    assert_eq!(cells[4..], ["0.4", "2.5", "2.5 % memory", "0.0", "125.0", "125.0 % memory !"], "{text}");
    assert!(text.contains("- B: matvec Q8\\_0 16x64 4 int8 reaches 125.0 % of the memory peak"), "{text}");
    assert!(text.contains("A: GFLOP/s") && text.contains("| Q4\\_0 | 16x64 | 0.5 | 2.0 |"), "{text}");

    let page = merged("html", &[&first, &second]).unwrap();
    let elements = check_markup(&page).unwrap();
    check_alone(&page).unwrap();
    let count = |name: &str| elements.iter().filter(|element| *element == name).count();
    // Machines, peaks and three operations; a picture of rates and one of shares for each, for two widths.
    assert_eq!((count("table"), count("details"), count("svg")), (5, 3, 12));
    assert!(page.contains("CPU &lt;b&gt;|, 4 threads") && !page.contains("<b>"), "a name is markup");
    for words in ["Warnings", "125.0 % memory !", "100.0 → 80.0 !", "n 4, variant int8", "GPU (metal)"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.split("</style>").nth(1).unwrap().contains("\"#"), "a fixed colour");
}

/// The same from CSV, where every value is a text.
#[test]
fn output_of_the_program_itself_is_merged_from_any_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let measure = ["--device", "cpu", "--format", "Q4_0,Q8_0", "--shape", "2x64", "--batch", "1", "-o"];
    let quantize = ["--op", "matvec,quantize", "--variant", "int8"];
    let write = |style: &str| {
        let output = qmill(&[&quantize[..], &measure, &[style]].concat());
        assert!(output.status.success());
        fs::write(path(style), output.stdout).unwrap();
        path(style)
    };
    let files = ["json", "jsonl", "csv"].map(write);
    let text = merged("md", &files.iter().map(std::path::PathBuf::as_path).collect::<Vec<_>>()).unwrap();
    // One machine, whose files tell the runs apart.
    for name in ["json", "jsonl", "csv"] {
        assert!(text.contains(&format!(" in {name} |")), "{text}");
    }
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| Q")).collect();
    assert_eq!(rows.len(), 4, "{text}");
    assert!(rows.iter().all(|row| !row.contains('–')), "{text}");
}

#[test]
fn tests_of_models_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first.jsonl", "second.jsonl"].map(|name| folder.path().join(name));
    let mut other_batch = test("one", "llama 1B Q4_0", "pp512", 50.0);
    other_batch["n_ubatch"] = json!(64);
    fs::write(&first, lines(&[test("one", "llama 1B Q4_0", "pp512", 100.0), other_batch])).unwrap();
    fs::write(&second, lines(&[test("two", "llama 1B Q4_0", "pp512", 250.25)])).unwrap();
    let text = merged("md", &[&first, &second]).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| llama")).collect();
    let expected = [
        "| llama 1B Q4\\_0 | pp512 | 100.0 ± 0.5 | 250.2 ± 0.5 |",
        "| llama 1B Q4\\_0 | pp512, n\\_ubatch 64 | 50.0 ± 0.5 | – |",
    ];
    assert_eq!(rows, expected, "{text}");
    assert!(text.contains("| model | test | A: t/s | B: t/s |") && !text.contains("## Peaks"), "{text}");
    let page = merged("html", &[&first, &second]).unwrap();
    let elements = check_markup(&page).unwrap();
    // Rates only, of two tests.
    assert_eq!(elements.iter().filter(|element| *element == "svg").count(), 4);
    assert!(page.contains("test pp512, n_ubatch 64"), "{page}");

    // Two precisions on one machine are two rows, and no name is markup.
    let mut int8 = test("two", "<i>model", "pp512 <b>&", 300.0);
    int8["precision"] = json!("int8");
    fs::write(&second, lines(&[test("two", "<i>model", "pp512 <b>&", 250.0), int8])).unwrap();
    let page = merged("html", &[&first, &second]).unwrap();
    check_markup(&page).unwrap();
    for precision in ["exact", "int8"] {
        assert!(
            page.contains(&format!("<summary>test pp512 &lt;b&gt;&amp;, {precision}</summary>")),
            "{page}"
        );
    }
}

#[test]
fn what_cannot_stand_side_by_side_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("ops"), lines(&[operation("CPU", "matvec", "Q4_0", 200.0)])).unwrap();
    fs::write(path("models"), lines(&[test("one", "llama", "pp512", 100.0)])).unwrap();
    let good = operation("CPU", "matvec", "Q4_0", 200.0);
    let with = |key: &str, value: Value| {
        let mut wrong = good.clone();
        wrong[key] = value;
        lines(&[good.clone(), wrong])
    };
    let cases = [
        ("text", with("median_ns", json!("fast")), "text: record 2 has median_ns \"fast\", not a number"),
        ("zero", with("median_ns", json!(0)), "zero: record 2 has median_ns 0, not a number above 0"),
        ("null", with("gb_s", Value::Null), "null: record 2 has no gb_s"),
        ("op", with("op", json!("divide")), "op: record 2 has op \"divide\" is not quantize"),
        ("peak", with("peak_read_gb_s", json!("?")), "peak: record 2 has peak_read_gb_s \"?\""),
        ("other", lines(&[json!({"op": 1})]), "other: record 1 is neither of an operation nor of a model"),
        ("none", String::new(), "none: is no output of qmill bench as json, jsonl or csv"),
        ("half", "{\"op\":".to_owned(), "half: is no output of qmill bench as json, jsonl or csv"),
    ];
    for (name, text, words) in cases {
        fs::write(path(name), text).unwrap();
        let (code, error) = merged("md", &[&path("ops"), &path(name)]).unwrap_err();
        assert!(code == Some(2) && error.contains(words), "{name}: {error}");
    }
    let (code, error) = merged("html", &[&path("ops"), &path("models")]).unwrap_err();
    assert_eq!(code, Some(2));
    assert!(error.contains("models: record 1 is of models, and ") && error.contains("ops has operations"));
    let (code, error) = merged("md", &[&path("missing")]).unwrap_err();
    assert!(code == Some(1) && error.contains("cannot read"), "{error}");
    let (code, error) = merged("csv", &[&path("ops")]).unwrap_err();
    assert!(code == Some(2) && error.contains("--merge prints -o md or -o html"), "{error}");
    let refused = |arguments: &[&str]| {
        let output = qmill_merge(arguments);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = refused(&["-o", "html", "--device", "cpu"]);
    assert!(code == Some(2) && error.contains("-o html is for --merge"), "{error}");
    let ops = path("ops");
    for more in [["--op", "matvec"], ["-t", "1"], ["-m", "a.gguf"], ["--compare", "x"]] {
        let (code, error) = refused(&[&more[..], &["--merge", ops.to_str().unwrap()]].concat());
        assert!(code == Some(2) && error.contains("cannot be used with"), "{more:?}: {error}");
    }
}
