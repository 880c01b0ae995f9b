//! `--device`, `--verify`, `qmill devices` and `qmill shaders`.

use super::gpu;
use crate::support::TINY_SHAKESPEARE;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn qmill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qmill"));
    command.args(arguments);
    command
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn quantize(output: &Path, more: &[&str]) -> Command {
    let mut command = qmill(&["quantize", "--json", TINY_SHAKESPEARE]);
    command.arg(output).arg("Q4_K_M").args(more);
    command
}

fn result(output: &Output) -> Value {
    serde_json::from_str(stdout(output).lines().last().unwrap()).unwrap()
}

#[test]
fn a_device_is_chosen_by_kind_number_and_name() {
    let Some(gpu) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let name = gpu.device().adapter_info().name;
    let cpu = folder.path().join("cpu.gguf");
    assert_eq!(result(&quantize(&cpu, &["--device", "cpu"]).output().unwrap())["device"], "CPU");
    let devices: Value =
        serde_json::from_str(&stdout(&qmill(&["devices", "--json"]).output().unwrap())).unwrap();
    let devices = devices["devices"].as_array().unwrap();
    let index = devices.iter().position(|device| device["name"] == name.as_str()).unwrap();
    assert_eq!(devices[index]["index"], index);
    assert!(devices[index]["max_binding_bytes"].as_u64().unwrap() >= 128 << 20);
    for choice in [index.to_string(), name.to_uppercase()] {
        let path = folder.path().join("gpu.gguf");
        let report =
            result(&quantize(&path, &["--force", "--verify=all", "--device", &choice]).output().unwrap());
        assert!(report["device"].as_str().unwrap().starts_with(&name), "{report}");
        assert_eq!(report["given_up"], Value::Null);
        assert!(report["verified_weights"].as_u64().unwrap() > 3_000_000);
        assert!(fs::read(&path).unwrap() == fs::read(&cpu).unwrap());
    }
    let by_environment =
        quantize(&folder.path().join("env.gguf"), &[]).env("WGPU_ADAPTER_NAME", &name).output();
    assert!(result(&by_environment.unwrap())["device"].as_str().unwrap().starts_with(&name));
}

#[test]
fn a_device_that_is_not_there_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.gguf");
    for choice in ["99", "no such adapter"] {
        let output = quantize(&path, &["--device", choice]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("there is no device") && error.contains(choice), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn without_an_adapter_the_cpu_computes_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // Metal has adapters only on a Mac, DX12 only on Windows.
    let backend = if cfg!(target_os = "macos") { "dx12" } else { "metal" };
    let output = quantize(&folder.path().join("out.gguf"), &["--verify"])
        .env("WGPU_BACKEND", backend)
        .output()
        .unwrap();
    assert_eq!(result(&output)["device"], "CPU");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing to compare"));
    let output =
        quantize(&folder.path().join("gpu.gguf"), &["--device", "gpu"]).env("WGPU_BACKEND", backend).output();
    assert_eq!(output.unwrap().status.code(), Some(1));
}

#[test]
fn shaders_are_listed_and_printed() {
    let names = stdout(&qmill(&["shaders"]).output().unwrap());
    assert!(names.lines().any(|name| name == "quantize_pack.q4_k.f16"));
    let text = stdout(&qmill(&["shaders", "quantize_pack.q4_k.f16"]).output().unwrap());
    assert!(text.contains("fn main(") && !text.contains("#import"));
    let is_spirv = |bytes: &[u8]| bytes.starts_with(&0x0723_0203_u32.to_le_bytes());
    let to = |name, language| qmill(&["shaders", name, "--to", language]).output().unwrap();
    assert!(is_spirv(&to("quantize_pack.q4_k.f16", "spirv").stdout));
    for (language, expected) in
        [("msl", "#include <metal_stdlib>"), ("hlsl", "[numthreads("), ("wgsl", "@workgroup_size(")]
    {
        let text = stdout(&to("quantize_pack.q4_k.f16", language));
        assert!(text.contains(expected), "{language}: {text}");
    }
    let cooperative = names.lines().find(|name| name.starts_with("matmul_cooperative.")).unwrap();
    let refused = to(cooperative, "hlsl");
    assert!(refused.status.code() == Some(2) && refused.stdout.is_empty());
    assert_eq!(qmill(&["shaders", "quantize.none.f32"]).output().unwrap().status.code(), Some(2));
}
