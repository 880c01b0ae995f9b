//! Tuning tables: saved, loaded, refused, and used.

use super::parity::{binding, buffer, poisoned};
use super::product::Case;
use super::{another_device, another_device_with, gpu};
use crate::support::gaussian;
use qmill::gpu::{Activations, Precision, Tuning, Variant};
use qmill::wgpu::{BufferUsages, Features};
use qmill::{Error, Format, Gpu};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

fn named(gpu: &Gpu, format: Format, batch: usize, name: &str) -> Variant {
    let all = Variant::all(gpu, format, batch);
    all.into_iter()
        .find(|variant| variant.to_string() == name)
        .unwrap_or_else(|| panic!("there is no {name}"))
}

/// A table of three kernels. The first is the default on no adapter.
fn sample(gpu: &Gpu) -> Tuning {
    let mut tuning = Tuning::new(gpu);
    let choices = [
        (Format::Q4_0, (33, 512), Precision::Int8, 1, "int8.thread_per_row.rows4"),
        (Format::Q4_K, (4096, 4096), Precision::Exact, 100, "exact.shared.rows4"),
        (Format::F16, (300, 8192), Precision::Exact, 9, "exact.thread_per_row.rows4"),
    ];
    for (format, shape, precision, batch, name) in choices {
        let variant = named(gpu, format, batch, name);
        tuning.set(format, shape, precision, batch, Some(variant));
    }
    tuning
}

#[test]
fn tuning_loads_what_was_saved() {
    let Some(gpu) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made").join(Tuning::file_name(gpu));
    let mut tuning = sample(gpu);
    for _ in 0..2 {
        tuning.save(&path).unwrap();
        assert_eq!(Tuning::load(&path).unwrap(), tuning);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        // Another of the same class replaces it.
        let other = named(gpu, Format::Q4_0, 1, "int8.thread_per_row.rows8");
        tuning.set(Format::Q4_0, (40, 1024), Precision::Int8, 1, Some(other));
        assert_eq!(tuning.len(), 3);
    }
    tuning.set(Format::Q4_0, (1, 32), Precision::Int8, 1, None);
    assert_eq!((tuning.len(), tuning.is_empty()), (2, false));
    let error = tuning.save(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot write the tuning"), "{error}");
}

#[test]
fn tuning_of_a_broken_file_is_refused() {
    let Some(gpu) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.json");
    let message = |text: &[u8]| {
        fs::write(&path, text).unwrap();
        Tuning::load(&path).unwrap_err().to_string()
    };
    sample(gpu).save(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    for end in [0, 1, text.len() / 2, text.len() - 3] {
        let error = message(&text.as_bytes()[..end]);
        assert!(error.contains("table.json: the text is") && error.ends_with("not JSON"), "{error}");
    }
    assert!(message(b"\xff\xfe\x00").contains("not JSON"));
    let faults = [
        ("\"version\": 2", "\"version\": 1", "version is \"1\", not 2"),
        ("\"version\"", "\"revision\"", "version is \"null\", not 2"),
        ("\"adapter\": \"", "\"adapter\": 7, \"x\": \"", "adapter is \"7\", not a string"),
        ("\"choices\": [", "\"choices\": 3, \"x\": [", "choices is \"3\", not a list"),
        ("Q4_0", "Q4_9", "format is \"Q4_9\", not a format"),
        ("\"1-255\"", "\"0-255\"", "rows is \"0-255\", not one of 1-255, 256-2047, 2048-"),
        ("int8.thread_per_row.rows4", "int8.tiles", "kernel is \"int8.tiles\", not one of exact."),
        ("int8.thread_per_row.rows4", "int8.tile", "kernel is \"int8.tile\", not a kernel for 1 vectors"),
        ("\"kernel\"", "\"colonel\"", "kernel is \"null\", not a string"),
    ];
    for (right, wrong, expected) in faults {
        assert!(text.contains(right), "{right} is not in {text}");
        let error = message(text.replacen(right, wrong, 1).as_bytes());
        assert!(error.contains(&format!("table.json: {expected}")), "{error}");
    }
    let error = Tuning::load(&folder.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("cannot read the tuning"), "{error}");
}

#[test]
fn tuning_of_another_device_is_refused() {
    let Some((device, queue)) = another_device() else { return };
    let gpu = Gpu::from_device(device, queue).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.json");
    let tuning = sample(&gpu);
    tuning.save(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let refusal = |right: &str, wrong: &str| {
        assert!(text.contains(right), "{right} is not in {text}");
        fs::write(&path, text.replacen(right, wrong, 1)).unwrap();
        match gpu.set_tuning(Tuning::load(&path).unwrap()).unwrap_err() {
            Error::Tuning { source_name, what, .. } => (source_name == gpu.name(), what),
            other => panic!("{other}"),
        }
    };
    assert_eq!(refusal("\"adapter\": \"", "\"adapter\": \"not "), (true, "the adapter of the table"));
    assert_eq!(refusal("\"driver\": \"", "\"driver\": \"not "), (true, "the driver of the table"));
    // This device was opened without subgroup operations.
    assert_eq!(refusal("thread_per_row.rows4", "subgroup.rows4"), (true, "a kernel of the table"));
    let chosen = || Variant::chosen(&gpu, Format::Q4_0, 33, 512, Precision::Int8, 1).to_string();
    let before = chosen();
    gpu.set_tuning(tuning).unwrap();
    assert_eq!(chosen(), "int8.thread_per_row.rows4");
    gpu.set_tuning(Tuning::new(&gpu)).unwrap();
    assert_eq!(chosen(), before);
}

/// How the names of pipelines for products start.
const PRODUCTS: [&str; 5] = ["matvec", "matmul", "split_k_sum", "f16_activations", "row_scales"];

/// A device that lists the pipelines that it compiles for products.
fn telling() -> Option<(Gpu, Arc<Mutex<Vec<String>>>)> {
    let features = gpu()?.device().features() & Features::SUBGROUP;
    let (device, queue) = another_device_with(features)?;
    let names = Arc::new(Mutex::new(Vec::new()));
    let told = names.clone();
    let rewrite = move |name: &str, text: String| {
        if PRODUCTS.iter().any(|product| name.starts_with(product)) {
            told.lock().unwrap().push(name.to_owned());
        }
        text
    };
    Some((Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap(), names))
}

#[test]
fn tuning_decides_the_kernels_of_products() {
    let (rows, cols, batch) = (33, 512, 9);
    let Some((gpu, names)) = telling() else { return };
    let case = Case::gaussian(Format::Q4_0, rows, cols);
    let matrix = case.matrix(&gpu);
    let x = buffer(&gpu, bytemuck::cast_slice(&gaussian(1, batch * cols)), BufferUsages::STORAGE);
    let (x, y) = (x.as_entire_buffer_binding(), poisoned(&gpu, 4 * (batch * rows) as u64));
    let activations =
        [Activations::exact(x.clone(), batch, cols), Activations::int8(&gpu, x, batch, cols).unwrap()];
    for variant in Variant::all(&gpu, case.format, batch) {
        let x = &activations[usize::from(variant.precision() == Precision::Int8)];
        let mut tuning = Tuning::new(&gpu);
        // Another shape of the same class, on a clone of the device.
        tuning.set(case.format, (200, 1024), variant.precision(), 64, Some(variant));
        gpu.clone().set_tuning(tuning).unwrap();
        assert_eq!(Variant::chosen(&gpu, case.format, rows, cols, variant.precision(), batch), variant);
        names.lock().unwrap().clear();
        gpu.prepare_matmul(&matrix, x, None, &binding(&y)).unwrap();
        let made = names.lock().unwrap().clone();
        assert!(!made.is_empty(), "{variant}: an earlier kernel was used");
        // It is compiled now.
        gpu.prepare_matmul_as(variant, &matrix, x, None, &binding(&y)).unwrap();
        assert_eq!(*names.lock().unwrap(), made, "{variant}: another kernel was used");
    }
}

fn qmill(arguments: &[&str], cache: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qmill"));
    command.args(arguments).env("XDG_CACHE_HOME", cache).output().unwrap()
}

#[test]
fn tune_command_measures_and_saves() {
    let Some(gpu) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.json");
    let arguments = ["tune", "--device", "gpu", "-r", "1", "--cache", "0", "--table", path.to_str().unwrap()];
    let tune = |more: &[&str]| qmill(&[&arguments[..], more].concat(), folder.path());
    let output = tune(&["--format", "Q4_0", "--shape", "33x256", "--batch", "9"]);
    let (text, notes) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && notes.is_empty(), "{notes}");
    // Every kernel by name, and the best.
    for variant in Variant::all(gpu, Format::Q4_0, 9) {
        assert!(text.contains(&format!("  {variant} ")), "{variant} was not measured:\n{text}");
    }
    let defaults = text.lines().filter_map(|line| line.strip_suffix("  by default"));
    let defaults: Vec<_> = defaults.map(|line| line.split_whitespace().next().unwrap()).collect();
    let best = text.lines().filter_map(|line| line.strip_prefix("  best: "));
    let best: Vec<_> = best.map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!((defaults.len(), best.len()), (2, 2), "{text}");
    let tuning = Tuning::load(&path).unwrap();
    assert_eq!(tuning.len(), defaults.iter().zip(&best).filter(|(default, best)| default != best).count());
    let fresh = Gpu::open(&qmill::gpu::DeviceChoice::Gpu, None).unwrap();
    fresh.set_tuning(tuning).unwrap();
    for (precision, best) in [Precision::Exact, Precision::Int8].into_iter().zip(best) {
        let chosen = Variant::chosen(&fresh, Format::Q4_0, 33, 256, precision, 9);
        assert_eq!(chosen.to_string(), best);
    }
    // An unusable table is replaced, with a note.
    fs::write(&path, "{").unwrap();
    let output = tune(&["--format", "F32", "--shape", "1x4", "--batch", "1"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("begins anew"));
    Tuning::load(&path).unwrap();

    let output = qmill(&["tune", "--device", "cpu"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the CPU has no kernels to choose from"));
}

/// The cache folder comes from the environment.
#[cfg(unix)]
#[test]
fn tuning_is_used_by_commands() {
    let Some(gpu) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmill").join(Tuning::file_name(gpu));
    let bench = || {
        let arguments = ["bench", "--device", "gpu", "--no-peaks", "--format", "Q4_0", "--shape", "33x512"];
        let more = ["--batch", "1", "-r", "1", "--cache", "0", "--variant", "int8", "-o", "jsonl"];
        let output = qmill(&[&arguments[..], &more[..]].concat(), folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let record: Value = serde_json::from_slice(&output.stdout).unwrap();
        (record["kernel"].as_str().unwrap().to_owned(), String::from_utf8(output.stderr).unwrap())
    };
    let default = Variant::chosen(gpu, Format::Q4_0, 33, 512, Precision::Int8, 1).to_string();
    assert_eq!(bench(), (default.clone(), String::new()));
    sample(gpu).save(&path).unwrap();
    assert_eq!(bench(), ("int8.thread_per_row.rows4".to_owned(), String::new()));
    let text = fs::read_to_string(&path).unwrap().replace("\"driver\": \"", "\"driver\": \"not ");
    for (broken, words) in [(text.as_str(), "the driver of the table is"), ("", "the text is")] {
        fs::write(&path, broken).unwrap();
        let (kernel, note) = bench();
        assert_eq!(kernel, default);
        assert!(note.starts_with("qmill: note: ") && note.contains(words), "{note}");
    }
}

/// A table that a stopped run leaves has what was found until then.
#[cfg(unix)]
#[test]
fn tuning_can_be_stopped_and_keeps_what_was_found() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    if gpu().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_qmill"))
        .args(["tune", "--device", "gpu", "-r", "1", "--cache", "0", "--table", path.to_str().unwrap()])
        .args(["--format", "Q4_0,Q8_0,Q4_K,Q6_K", "--shape", "33x256,65x512", "--batch", "1,4"])
        .env("XDG_CACHE_HOME", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    // The time is told before the first product.
    for _ in 0..2 {
        stdout.read_line(&mut text).unwrap();
    }
    let effort = text.lines().nth(1).unwrap();
    assert!(effort.starts_with("32 products, ") && effort.contains(" kernels: a"), "{text}");
    let best = |text: &str| text.lines().filter(|line| line.starts_with("  best: ")).count();
    while best(&text) < 2 {
        assert!(stdout.read_line(&mut text).unwrap() > 0, "{text}");
    }
    // Written already, if the run should crash.
    Tuning::load(&path).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    stdout.read_to_string(&mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let products = best(&text);
    assert_eq!(output.status.code(), Some(130), "{error}");
    assert!((2..32).contains(&products), "{text}");
    let told = format!("qmill: interrupted after {products} of 32 products; {} keeps them\n", path.display());
    assert_eq!(error, told);
    // Those whose best is not the default; shapes of one class count once.
    let tuning = Tuning::load(&path).unwrap();
    let mut classes = std::collections::HashMap::new();
    let (mut title, mut default) = ("", "");
    for line in text.lines() {
        if line.starts_with('Q') {
            title = line;
        } else if let Some(line) = line.strip_suffix("  by default") {
            default = line.split_whitespace().next().unwrap();
        } else if let Some(line) = line.strip_prefix("  best: ") {
            let (best, precision) = (line.split(',').next().unwrap(), &default[..4]);
            let (format, batch) = (title.split(',').next().unwrap(), title.rsplit(',').next().unwrap());
            classes.insert((format, batch, precision), best != default);
        }
    }
    assert_eq!(tuning.len(), classes.values().filter(|&&is_other| is_other).count(), "{text}");
}
