//! What `--device auto` takes for a job. The cache folder comes from the environment.

#![cfg(unix)]

use super::gpu;
use crate::support::TINY_SHAKESPEARE;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The software adapter, where there is no GPU.
fn software() -> Option<String> {
    let gpu = gpu().filter(|gpu| gpu.is_software_adapter())?;
    Some(gpu.device().adapter_info().name)
}

fn qmill(arguments: &[&str], cache: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qmill"));
    command.args(arguments).env("XDG_CACHE_HOME", cache).env_remove("WGPU_ADAPTER_NAME");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The backend that multiplies by itself, and what is noted.
fn multiply(cache: &Path, variant: &str) -> (String, String) {
    let arguments = ["bench", "--no-peaks", "--op", "matvec", "--format", "Q4_0", "--shape", "8x256"];
    let more = ["--batch", "1", "-r", "1", "--cache", "0", "--variant", variant, "-o", "jsonl"];
    let output = qmill(&[&arguments[..], &more[..]].concat(), cache);
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    (record["backends"].as_str().unwrap().to_owned(), String::from_utf8(output.stderr).unwrap())
}

/// What `devices` says of a job.
fn expected(cache: &Path, job: &str) -> (Value, String) {
    let output = qmill(&["devices", "--json"], cache);
    let devices: Value = serde_json::from_slice(&output.stdout).unwrap();
    let job = &devices["auto"][job];
    (job["device"].clone(), job["reason"].as_str().unwrap().to_owned())
}

#[test]
fn without_a_gpu_products_go_where_they_are_faster() {
    let Some(software) = software() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path();
    let (device, reason) = expected(cache, "multiply");
    assert!(device == "cpu" && reason == format!("the first time it is measured against {software}"));
    multiply(cache, "int8");
    let path = cache.join("qmill/auto.json");
    let measured: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for precision in ["int8_seconds", "exact_seconds"] {
        assert!(measured[precision].as_array().unwrap().iter().all(|time| time.as_f64() > Some(0.0)));
    }
    let remember = |changes: &[(&str, Value)]| {
        let mut measured = measured.clone();
        for (key, value) in changes {
            measured[*key] = value.clone();
        }
        fs::write(&path, serde_json::to_vec(&measured).unwrap()).unwrap();
    };

    // The CPU and the adapter.
    remember(&[("int8_seconds", json!([1.0, 2.5])), ("exact_seconds", json!([9.0, 3.0]))]);
    let (backend, note) = multiply(cache, "int8");
    let because = "because there is no GPU and it is";
    assert_eq!(
        (&*backend, note),
        ("CPU", format!("qmill: note: device: CPU, {because} 2.5 times as fast as {software}\n"))
    );
    assert_eq!(expected(cache, "multiply"), (json!("cpu"), format!("2.5 times as fast as {software}")));
    let (backend, note) = multiply(cache, "exact");
    assert!(backend != "CPU" && note.contains(&format!("{because} 3.0 times as fast as the CPU")), "{note}");
    assert_eq!(expected(cache, "multiply_exact"), (json!(0), "3.0 times as fast as the CPU".to_owned()));
    // Named, it is not for auto to say.
    let model = ["bench", "-m", TINY_SHAKESPEARE, "-p", "1", "-n", "0", "-r", "1", "-o", "jsonl"];
    let named = qmill(&[&model[..], &["--device", "gpu"]].concat(), cache);
    assert!(named.stderr.is_empty(), "{}", String::from_utf8_lossy(&named.stderr));
    let record: Value = serde_json::from_slice(&named.stdout).unwrap();
    assert_ne!(record["backends"], "CPU");
    // Models go where products go.
    let model = qmill(&model, cache);
    let record: Value = serde_json::from_slice(&model.stdout).unwrap();
    assert_eq!(record["backends"], "CPU");

    // A measurement that did not end.
    remember(&[("int8_seconds", Value::Null)]);
    let (backend, note) = multiply(cache, "int8");
    assert!(backend == "CPU" && note.contains(&format!("{software} failed when it was measured")), "{note}");
    // Another machine's, or no measurement at all: it is measured again.
    for bad in [&[("threads", json!(99))][..], &[("qmill", json!("0.0.0"))], &[("cpu", Value::Null)]] {
        remember(bad);
        multiply(cache, "int8");
        let now: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(now["threads"], measured["threads"]);
        assert_ne!(now["int8_seconds"], measured["int8_seconds"]);
    }
}

#[test]
fn without_a_gpu_the_cpu_quantizes_and_the_reason_is_told() {
    let Some(_) = software() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.gguf");
    let quantize = |more: &[&str]| {
        let arguments = ["quantize", "--force", TINY_SHAKESPEARE, path.to_str().unwrap(), "Q8_0"];
        let output = qmill(&[&arguments[..], more].concat(), folder.path());
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = quantize(&[]);
    assert!(said.contains("\ndevice: CPU, because there is no GPU\n"), "{said}");
    assert!(!quantize(&["--device", "cpu"]).contains("device:"));
    let result: Value = serde_json::from_str(quantize(&["--json"]).lines().last().unwrap()).unwrap();
    assert_eq!(
        (&result["device"], &result["device_reason"]),
        (&json!("CPU"), &json!("because there is no GPU"))
    );
}
