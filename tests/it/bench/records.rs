//! What every record tells, and what is compared.

use super::{json_lines, qmill, stdout};
use crate::gpu::gpu;
use serde_json::Value;
use std::fs;
use std::process::Command;

const QUICK: [&str; 8] = ["--format", "Q4_0", "--shape", "8x64", "--batch", "1", "--variant", "int8"];

#[test]
fn every_record_names_the_machine_and_the_threads() {
    let device = if gpu().is_some() { "cpu,gpu" } else { "cpu" };
    let records =
        json_lines(&stdout(&[&QUICK[..], &["--device", device, "-t", "1,2", "-o", "jsonl"]].concat()));
    let threads: Vec<&Value> = records.iter().map(|record| &record["n_threads"]).collect();
    assert_eq!(threads[..2], [1, 2]);
    // A GPU has no threads, and is measured once.
    assert_eq!(threads.len(), if gpu().is_some() { 3 } else { 2 });
    assert!(threads[2..].iter().all(|threads| threads.is_null()), "{threads:?}");
    for record in &records {
        for key in ["build_commit", "cpu_info"] {
            assert!(!record[key].as_str().unwrap().is_empty(), "{key}: {record}");
        }
        assert!(record["os"].as_str().unwrap().starts_with(std::env::consts::OS), "{record}");
        assert!(record["cpu_cores"].as_u64().unwrap() > 0, "{record}");
        assert_eq!(record["memory_bytes"].is_u64(), cfg!(target_os = "linux"), "{record}");
        assert_eq!(record["driver"].as_str().unwrap().is_empty(), record["backends"] == "CPU", "{record}");
        // Without peaks there are no shares.
        for key in ["peak_read_gb_s", "peak_read_gb_s_after", "memory_share", "compute_share"] {
            assert!(record[key].is_null(), "{key}: {record}");
        }
    }
    let output = qmill(&[&QUICK[..], &["--device", "cpu", "-t", "0"]].concat());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("the number of threads is 0"), "{error}");
}

/// One operation with peaks, of buffers of 1 MiB.
fn with_peaks(more: &[&str]) -> (String, String) {
    let arguments =
        ["bench", "--device", "cpu", "--cache", "0", "-r", "1", "-t", "1", "--op", "matvec,quantize"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_qmill"));
    let output = command.args(arguments).args(QUICK).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn every_record_has_the_peaks_before_and_after_and_shares_of_them() {
    let (text, _) = with_peaks(&["-o", "jsonl"]);
    let records = json_lines(&text);
    assert_eq!(records.len(), 2);
    for record in &records {
        let number = |key: &str| record[key].as_f64().unwrap_or_else(|| panic!("{key}: {record}"));
        for key in ["copy_gb_s", "write_gb_s", "read_gb_s", "multiply_add_gflop_s"] {
            assert!(number(&format!("peak_{key}")) > 0.0 && number(&format!("peak_{key}_after")) > 0.0);
            assert_eq!(records[0][format!("peak_{key}_after")], records[1][format!("peak_{key}_after")]);
        }
        // Measured again, not copied.
        assert_ne!(record["peak_read_gb_s"], record["peak_read_gb_s_after"], "{record}");
        let of = |key: &str| number("gb_s") / number(key);
        let (share, is_product) = match record["op"].as_str().unwrap() {
            "matvec" => (of("peak_read_gb_s"), true),
            _ => (of("peak_read_gb_s").min(of("peak_copy_gb_s")).min(of("peak_write_gb_s")), false),
        };
        assert!((number("memory_share") / share - 1.0).abs() < 1e-3, "{record}");
        assert_eq!(record["compute_share"].is_number(), is_product, "{record}");
    }
    let (table, notes) = with_peaks(&[]);
    assert!(table.contains("\npeaks: copy ") && table.contains("\npeaks after: copy "), "{table}");
    // What a reader of the table alone must know stands below it too.
    let warnings = notes.lines().filter_map(|line| line.strip_prefix("qmill: warning: "));
    for warning in warnings {
        assert!(table.contains(&format!("\nWarning: {warning}.")), "{warning}\n{table}");
    }
}

#[test]
fn other_devices_of_an_earlier_run_are_compared_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("earlier.jsonl");
    let arguments = [&QUICK[..], &["--device", "cpu", "-t", "2"]].concat();
    let then = stdout(&[&arguments[..], &["-o", "jsonl"]].concat());
    let record: Value = serde_json::from_str(&then).unwrap();
    let of = |device: &str, ns: u64| {
        let mut other = record.clone();
        other["cpu_info"] = device.into();
        other["median_ns"] = ns.into();
        format!("{other}\n")
    };
    let compare =
        |style: &str| stdout(&[&arguments[..], &["-o", style, "--compare", path.to_str().unwrap()]].concat());
    // Another machine, and one with a name that would end a cell.
    fs::write(&path, of("Fast", 1_000) + &of("Slow|er", 5_000_000_000) + &of("Fast", 10)).unwrap();
    let now = &json_lines(&compare("jsonl"))[0];
    assert!(now["ratio"].is_null(), "{now}");
    let ns = now["median_ns"].as_f64().unwrap();
    for (device, then) in [("Fast, 2 threads", 10.0), ("Slow|er, 2 threads", 5e9)] {
        let ratio = now["ratios"][device].as_f64().unwrap();
        assert!((ratio * ns / then - 1.0).abs() < 1e-3, "{device}: {now}");
    }
    let table = compare("md");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows[0].ends_with("| × Fast, 2 threads | × Slow/er, 2 threads |"), "{table}");
    assert!(rows.iter().all(|row| row.matches('|').count() == rows[0].matches('|').count()), "{table}");
    assert!(!table.contains("× earlier"), "{table}");
    // This device too: both are told.
    fs::write(&path, then.clone() + &of("Fast", 10)).unwrap();
    let now = &json_lines(&compare("jsonl"))[0];
    assert!(now["ratio"].is_number() && now["ratios"]["Fast, 2 threads"].is_number(), "{now}");
    let table = compare("md");
    assert!(table.contains("| × earlier | × Fast, 2 threads |"), "{table}");
    let heading = compare("csv").lines().next().unwrap().to_owned();
    assert!(heading.contains(",ratio,ratios,"), "{heading}");
    // As many threads make the same device of a CPU, and another number another one.
    let with_one = [&QUICK[..], &["--device", "cpu", "-t", "1", "-o", "jsonl"]].concat();
    let now = stdout(&[&with_one[..], &["--compare", path.to_str().unwrap()]].concat());
    assert!(json_lines(&now)[0]["ratio"].is_null(), "{now}");
}

/// What was measured before Ctrl-C is printed.
#[cfg(unix)]
#[test]
fn an_interrupted_run_prints_what_it_has() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    let arguments = ["bench", "--device", "cpu", "--no-peaks", "--cache", "0", "--format", "Q4_0,Q8_0,Q4_K"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_qmill"))
        .args(arguments)
        .args(["--shape", "64x256", "--batch", "1-8", "-r", "10"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while text.lines().filter(|line| line.starts_with('|')).count() < 3 {
        assert!(stdout.read_line(&mut text).unwrap() > 0, "{text}");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    stdout.read_to_string(&mut text).unwrap();
    let code = child.wait().unwrap().code();
    let rows = text.lines().filter(|line| line.starts_with('|')).count() - 2;
    assert!(code == Some(130) && (1..24).contains(&rows), "{code:?}: {text}");
    assert!(text.lines().last().unwrap().ends_with('|'), "{text}");
}
