//! `qmill bench` and its library. The results are not judged here, only that they are measured, checked and
//! printed.

mod merge;
mod records;

use crate::gpu::{another_device, gpu};
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use qmill::bench::{self, Case, Operation, Peaks, Settings, time_ops, time_work};
use qmill::{Device, Error, Format, Gpu};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// One repetition of one operation, with weights that stay in the cache.
const QUICK: Settings =
    Settings::DEFAULT.with_repetitions(1).with_repetition_time(Duration::ZERO).with_cache_bytes(0);

/// The command with these arguments, and others that make it fast.
fn qmill(arguments: &[&str]) -> Output {
    let quick = [("--cache", "0"), ("-r", "2")].into_iter().filter(|(name, _)| !arguments.contains(name));
    let mut command = Command::new(env!("CARGO_BIN_EXE_qmill"));
    command.args(["bench", "--no-peaks"]).args(quick.flat_map(|(name, value)| [name, value]));
    command.args(arguments).output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = qmill(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(arguments: &[&str]) -> (Option<i32>, String) {
    let output = qmill(arguments);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Fast on any device: two conversions, and products of two sizes.
const ALL_OPERATIONS: [&str; 8] =
    ["--op", "quantize,dequantize,matvec,matmul", "--format", "Q4_0", "--shape", "16x64", "--batch", "1-2,9"];

#[test]
fn every_operation_is_measured_on_the_cpu_and_on_a_device() {
    let device = if gpu().is_some() { "cpu,gpu" } else { "cpu" };
    let records = json_lines(&stdout(&[&ALL_OPERATIONS[..], &["--device", device, "-o", "jsonl"]].concat()));
    let of = |backend: &str| {
        let records =
            records.iter().filter(move |record| (record["backends"] == "CPU") == (backend == "CPU"));
        let words = |record: &Value| {
            format!(
                "{} n={} {}",
                record["op"].as_str().unwrap(),
                record["n"],
                record["variant"].as_str().unwrap()
            )
        };
        records.map(words).collect::<Vec<_>>()
    };
    let conversions = ["quantize n=1 auto", "dequantize n=1 auto"];
    let products = ["matvec n=1", "matvec n=2", "matmul n=9"];
    let expected = conversions.map(str::to_owned).into_iter();
    let products = products.into_iter().flat_map(|p| [format!("{p} exact"), format!("{p} int8")]);
    let expected: Vec<_> = expected.chain(products).collect();
    assert_eq!(of("CPU"), expected);
    if gpu().is_some() {
        assert_eq!(of("GPU"), expected);
    }
    for record in &records {
        assert_eq!(record["samples_ns"].as_array().unwrap().len(), 2, "{record}");
        assert!(record["median_ns"].as_u64().unwrap() > 0, "{record}");
        let is_product = record["op"].as_str().unwrap().starts_with("mat");
        // 16 rows of two blocks of 18 bytes; as f32, weights or vectors and results.
        let floats = if is_product { record["n"].as_u64().unwrap() * (16 + 64) } else { 16 * 64 };
        assert_eq!(record["bytes"], 16 * 36 + 4 * floats, "{record}");
        let rate = record["bytes"].as_f64().unwrap() / record["median_ns"].as_f64().unwrap();
        let told = record["gb_s"].as_f64().unwrap();
        assert!((told / rate - 1.0).abs() < 0.01, "{told} is not {rate}");
        assert_eq!(record["gflop_s"].is_number(), is_product, "{record}");
        // The reference has no error.
        if record["backends"] == "CPU" && record["variant"] != "int8" {
            assert!(record["error"].is_null(), "{record}");
        } else {
            assert!(record["error"].as_f64().unwrap() <= record["error_bound"].as_f64().unwrap(), "{record}");
        }
    }
}

#[test]
fn every_output_tells_the_same() {
    let run = |style| {
        let arguments = ["--device", "cpu", "--format", "Q4_0,Q8_0", "--shape", "2x64", "--batch", "1"];
        stdout(&[&arguments[..], &["--variant", "int8", "-o", style]].concat())
    };
    let json: Value = serde_json::from_str(&run("json")).unwrap();
    let names: Vec<&str> = json[0].as_object().unwrap().keys().map(String::as_str).collect();
    let lines = json_lines(&run("jsonl"));
    assert_eq!(lines.len(), 2);
    assert_eq!(json.as_array().unwrap().len(), 2);
    for (line, format) in lines.iter().zip(["Q4_0", "Q8_0"]) {
        assert_eq!(line["format"], format);
        assert_eq!(line.as_object().unwrap().keys().collect::<Vec<_>>(), names);
    }
    // The names of llama-bench.
    for name in ["cpu_info", "gpu_info", "backends", "test_time", "avg_ns", "stddev_ns", "samples_ns"] {
        assert!(names.contains(&name), "{name}");
    }
    let csv = run("csv");
    let heading: BTreeSet<&str> = csv.lines().next().unwrap().split(',').collect();
    assert_eq!(heading, names.iter().copied().filter(|&name| name != "samples_ns").collect());
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.lines().skip(1).all(|line| line.split("\",\"").count() == heading.len()), "{csv}");
    let table = run("md");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 4, "{table}");
    assert!(rows.iter().all(|row| row.matches('|').count() == rows[0].matches('|').count()), "{table}");
    assert!(rows[2].contains("| matvec |") || rows[2].contains(" matvec |"), "{table}");
}

#[test]
fn an_earlier_run_is_compared_with() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["--device", "cpu", "--variant", "int8", "--format", "Q4_0", "--batch", "1", "--shape", "2x64,4x64"];
    for style in ["json", "jsonl", "csv"] {
        let path = folder.path().join(style);
        // The earlier run has not measured the second shape, and its machine was faster.
        let then = stdout(&[&arguments[..9], &["2x64", "-o", style]].concat());
        fs::write(&path, &then).unwrap();
        let now = json_lines(&stdout(
            &[&arguments[..], &["-o", "jsonl", "--compare", path.to_str().unwrap()]].concat(),
        ));
        let then_ns: f64 = match style {
            "json" => serde_json::from_str::<Value>(&then).unwrap()[0]["median_ns"].as_f64().unwrap(),
            "jsonl" => json_lines(&then)[0]["median_ns"].as_f64().unwrap(),
            _ => {
                let mut lines = then.lines();
                let at = lines.next().unwrap().split(',').position(|name| name == "median_ns").unwrap();
                lines.next().unwrap().split("\",\"").nth(at).unwrap().parse().unwrap()
            }
        };
        let ratio = then_ns / now[0]["median_ns"].as_f64().unwrap();
        let told = now[0]["ratio"].as_f64().unwrap();
        assert!((told / ratio - 1.0).abs() < 1e-3, "{style}: {told} is not {ratio}");
        assert_eq!(now[1]["ratio"], Value::Null, "{style}");
        let table = stdout(&[&arguments[..], &["--compare", path.to_str().unwrap()]].concat());
        assert!(table.contains("× earlier"), "{table}");
    }
    let other = folder.path().join("other");
    for text in ["", "{\"op\": 1}", "[1]", "op,m\n\"matvec\",\"1\"", "{"] {
        fs::write(&other, text).unwrap();
        let (code, error) = refusal(&["--device", "cpu", "--compare", other.to_str().unwrap()]);
        assert_eq!(code, Some(2), "{text}: {error}");
        assert!(error.contains("is no output of qmill bench"), "{text}: {error}");
    }
    let (code, error) = refusal(&["--compare", folder.path().join("missing").to_str().unwrap()]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("cannot read"), "{error}");
}

#[test]
fn bad_arguments_are_refused() {
    let cases: [(&[&str], i32, &str); 12] = [
        (&["--op", "divide"], 2, "is not quantize, dequantize, matvec or matmul"),
        (&["--format", "Q4_9"], 2, "Q4_9"),
        (&["--shape", "4096"], 2, "is not rows x columns"),
        (&["--batch", "8-1"], 2, "is not a number or a range"),
        (&["-o", "xml"], 2, "xml"),
        (&["--cache", "1Q"], 2, "is no unit of bytes"),
        (&["--op", "matmul", "--batch", "1-8"], 2, "there is nothing to measure"),
        (
            &["-r", "0", "--batch", "1", "--shape", "1x32", "--format", "Q4_0"],
            1,
            "the number of repetitions is 0",
        ),
        (&["--shape", "0x32", "--batch", "1", "--format", "Q4_0"], 1, "the number of rows is 0"),
        (&["--shape", "1x33", "--batch", "1", "--format", "Q4_0"], 1, "33 weights"),
        (&["--op", "quantize", "--shape", "1x256", "--format", "IQ1_S"], 2, "IQ1_S"),
        (&["--device", "no such adapter"], 1, "there is no device"),
    ];
    for (arguments, code, words) in cases {
        let device: &[&str] = if arguments[0] == "--device" { &[] } else { &["--device", "cpu"] };
        let (found, error) = refusal(&[device, arguments].concat());
        assert_eq!(found, Some(code), "{arguments:?}: {error}");
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
    if gpu().is_some() {
        let (code, error) =
            refusal(&["--device", "gpu", "--variant", "fast", "--shape", "1x32", "--format", "Q4_0"]);
        assert_eq!((code, error.contains("there is nothing to measure")), (Some(2), true), "{error}");
    }
}

fn case(operation: Operation, batch: usize) -> Case {
    Case { operation, format: Format::Q4_0, rows: 33, cols: 256, batch }
}

#[test]
fn every_variant_has_the_right_answer() {
    let Some(gpu) = gpu() else { return };
    let device = Device::Gpu(gpu.clone());
    for (operation, batch) in [(Operation::Matvec, 1), (Operation::Matvec, 8), (Operation::Matmul, 33)] {
        let case = case(operation, batch);
        let variants = case.variants(&device);
        assert!(variants.len() > 2 && variants[0].is_automatic(), "{variants:?}");
        let all = case.measure_in_turns(&device, &variants, &QUICK).unwrap();
        assert_eq!(all.len(), variants.len());
        for (variant, measured) in variants.into_iter().zip(all) {
            assert_eq!(measured.timing.wall.values().len(), QUICK.repetitions);
            let accuracy = measured.accuracy.unwrap();
            assert!(accuracy.error > 0.0 && accuracy.error <= accuracy.bound, "{variant}: {accuracy:?}");
            assert_eq!(measured.operations, 2 * 33 * 256 * batch as u64);
        }
    }
}

/// There the weights are blocks of any bits.
#[test]
fn formats_without_an_encoder_are_measured() {
    let Some(gpu) = gpu() else { return };
    let device = Device::Gpu(gpu.clone());
    for operation in [Operation::Dequantize, Operation::Matvec] {
        let case = Case { format: Format::IQ2_XXS, ..case(operation, 1) };
        for variant in case.variants(&device).into_iter().filter(|variant| variant.is_automatic()) {
            let accuracy = case.measure(&device, variant, &QUICK).unwrap().accuracy.unwrap();
            assert!(accuracy.error <= accuracy.bound, "{variant}: {accuracy:?}");
        }
    }
}

#[test]
fn a_wrong_answer_is_not_measured() {
    let faults = [
        (Operation::Matvec, "row < params.all_rows", "row + 1u < params.all_rows"),
        (
            Operation::Matvec,
            "uniform_params().row_blocks * ROW_UNITS;",
            "uniform_params().row_blocks * ROW_UNITS - 1u;",
        ),
        (Operation::Dequantize, "quad < params.count", "quad + 1u < params.count"),
        (Operation::Quantize, "block < params.count", "block + 1u < params.count"),
    ];
    for (operation, right, wrong) in faults {
        let Some((device, queue)) = another_device() else { return };
        let rewrite = move |name: &str, text: String| {
            if !name.starts_with(operation.name()) {
                return text;
            }
            assert!(text.contains(right), "{name}: there is no {right:?}");
            text.replace(right, wrong)
        };
        let gpu = Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap();
        let device = Device::Gpu(gpu);
        let case = case(operation, 1);
        for variant in case.variants(&device) {
            let error = case.measure(&device, variant, &QUICK).unwrap_err();
            let is_right = matches!(error, Error::Inaccurate { .. } | Error::Differs { .. });
            assert!(is_right, "{operation} {variant}: {error}");
        }
    }
}

#[test]
fn work_gets_the_number_of_each_call_and_all_are_counted() {
    let mut calls = Vec::new();
    let time = Duration::from_millis(20);
    let settings = Settings::DEFAULT.with_repetitions(3).with_repetition_time(time).with_cache_bytes(0);
    let timing = time_work(&settings, |call| {
        calls.push(call);
        std::thread::sleep(Duration::from_millis(1));
        Ok(())
    })
    .unwrap();
    assert_eq!(calls, (0..calls.len()).collect::<Vec<_>>());
    assert_eq!(timing.wall.values().len(), 3);
    assert!(timing.count > 1 && calls.len() as u64 > 3 * timing.count, "{timing:?}");
    // Sleeping takes at least that long, and the time of one call is not that of several.
    assert!(timing.wall.min() >= 0.001 && timing.wall.min() < 0.020, "{timing:?}");
    assert!(timing.device.is_none());

    let error = time_work(&QUICK, |_| Err(Error::Cancelled)).unwrap_err();
    assert!(matches!(error, Error::Cancelled));
    let Some(gpu) = gpu() else { return };
    let error = time_ops(gpu, &[], &QUICK).unwrap_err().to_string();
    assert!(error.contains("the number of copies is 0"), "{error}");
}

/// How peaks are measured here.
const PEAKS: Settings = QUICK.with_cache_bytes(1 << 20).with_threads(Some(2));

/// The peaks of the shared device.
fn gpu_peaks() -> Option<Peaks> {
    static MEASURED: OnceLock<Option<Peaks>> = OnceLock::new();
    *MEASURED.get_or_init(|| Some(Peaks::measure(&Device::Gpu(gpu()?.clone()), &PEAKS).unwrap()))
}

#[test]
fn peaks_are_measured() {
    let cpu = Peaks::measure(&Device::Cpu, &PEAKS).unwrap();
    for (is_cpu, peaks) in [(true, Some(cpu)), (false, gpu_peaks())] {
        let Some(peaks) = peaks else { continue };
        assert!(peaks.read >= peaks.buffer_read);
        for (name, rate) in peaks.rates() {
            // Between a byte a microsecond and what no device can do: a kernel that does nothing would be
            // above it.
            assert!((1e6..1e15).contains(&rate), "{name}: {rate:e} a second");
        }
        assert_eq!((peaks.dot.is_none(), peaks.launch.is_none()), (false, is_cpu));
        assert!(peaks.launch.is_none_or(|launch| (1e-9..1.0).contains(&launch)), "{peaks:?}");
    }
    let error = Peaks::measure(&Device::Cpu, &PEAKS.with_threads(Some(0))).unwrap_err().to_string();
    assert!(error.contains("the number of threads is 0"), "{error}");
}

/// Int8 arithmetic is faster than f32 on many devices, and never counts as f32.
#[test]
fn every_variant_has_the_peak_of_its_own_arithmetic() {
    let (Some(gpu), Some(peaks)) = (gpu(), gpu_peaks()) else { return };
    let device = Device::Gpu(gpu.clone());
    for (operation, batch) in [(Operation::Matvec, 1), (Operation::Matmul, 33)] {
        for variant in case(operation, batch).variants(&device) {
            let peak = peaks.compute(variant.precision());
            match variant.to_string().split('.').next() {
                Some("exact") => assert_eq!(peak, Some(peaks.multiply_add), "{variant}"),
                Some("int8") => assert_eq!(peak, peaks.int8(), "{variant}"),
                _ => panic!("{variant}"),
            }
        }
    }
    let fastest = peaks.dot.unwrap().max(peaks.matrix.unwrap_or(0.0));
    assert_eq!(peaks.int8(), Some(fastest));
}

#[test]
fn the_shaders_of_peaks_are_valid_and_can_be_translated() {
    let (mut count, mut of_matrices) = (0, 0);
    for wgsl in bench::shaders() {
        let module =
            naga::front::wgsl::parse_str(&wgsl).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&wgsl)));
        let has_matrices = wgsl.contains("enable wgpu_cooperative_matrix");
        let mut capabilities = Capabilities::empty();
        capabilities.set(
            Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP,
            has_matrices,
        );
        let mut validator = Validator::new(ValidationFlags::all(), capabilities);
        validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
        let info = validator.validate(&module).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&wgsl)));
        spv::write_vec(&module, &info, &spv::Options::default(), None).unwrap();
        count += 1;
        of_matrices += u32::from(has_matrices);
        // Only Vulkan loads matrices from vec4s, and DX12 has no matrices.
        if has_matrices && wgsl.contains("const QUADS: u32 = 1u;") {
            continue;
        }
        let lang_version = if has_matrices { (2, 3) } else { (2, 0) };
        let options = msl::Options { lang_version, fake_missing_bindings: true, ..msl::Options::default() };
        msl::write_string(&module, &info, &options, &msl::PipelineOptions::default()).unwrap();
        if has_matrices {
            continue;
        }
        let options = hlsl::Options { fake_missing_bindings: true, ..hlsl::Options::default() };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &hlsl::PipelineOptions::default())
            .write(&module, &info, None)
            .unwrap();
    }
    // Those of NVIDIA, AMD and Apple, with two, four and eight sums.
    assert!(count >= 30 && of_matrices == 9, "{count} shaders, {of_matrices} with matrices");
}
