//! `qmill bench -m` and its library. Speeds are not judged, only that everything is measured and printed as
//! by llama-bench.

use crate::gpu::gpu;
use crate::support::TINY_SHAKESPEARE;
use qmill::bench::{ModelCase, ModelSettings, Stage};
use qmill::llm::{LoadOptions, Model, Session};
use qmill::{Device, Error, Format};
use serde_json::Value;
use std::fs;
use std::process::{Command, Output};

fn qmill(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_qmill")).arg("bench").args(arguments).output().unwrap()
}

/// The output for the tiny model on the CPU, unless the arguments say otherwise.
fn stdout(arguments: &[&str]) -> String {
    let device: &[&str] = if arguments.contains(&"--device") { &[] } else { &["--device", "cpu"] };
    let output = qmill(&[&["-m", TINY_SHAKESPEARE], device, arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn records(arguments: &[&str]) -> Vec<Value> {
    let text = stdout(&[arguments, &["-o", "jsonl"]].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(records: &[Value], key: &str) -> Vec<String> {
    records.iter().map(|record| record[key].to_string().replace('"', "")).collect()
}

/// The mean, and the deviation of a sample.
fn statistics(samples: &[f64]) -> [f64; 2] {
    let mean = samples.iter().sum::<f64>() / samples.len() as f64;
    let squares: f64 = samples.iter().map(|x| (x - mean).powi(2)).sum();
    [mean, (squares / (samples.len() - 1) as f64).sqrt()]
}

#[test]
fn prompts_and_answers_are_measured_on_every_device() {
    let device = if gpu().is_some() { "cpu,gpu" } else { "cpu" };
    let found =
        records(&["-p", "6", "-n", "3", "-pg", "5,2", "-d", "0,7", "-r", "3", "--device", device, "-t", "1"]);
    let tests = ["pp6", "tg3", "pp5+tg2", "pp6 @ d7", "tg3 @ d7", "pp5+tg2 @ d7"];
    assert_eq!(texts(&found, "test"), tests.repeat(device.split(',').count()));
    for (i, record) in found.iter().enumerate() {
        let is_cpu = i < tests.len();
        assert_eq!(record["backends"] == "CPU", is_cpu, "{record}");
        assert_eq!(record["n_threads"], if is_cpu { Value::from(1) } else { Value::Null }, "{record}");
        assert_eq!(record["precision"], "int8", "{record}");
        let floats = |key: &str| -> Vec<f64> {
            record[key].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
        };
        let (ns, rates) = (floats("samples_ns"), floats("samples_ts"));
        assert_eq!((ns.len(), rates.len()), (3, 3), "{record}");
        let tokens = record["n_prompt"].as_f64().unwrap() + record["n_gen"].as_f64().unwrap();
        for (ns, rate) in ns.iter().zip(&rates) {
            assert!((rate * ns / 1e9 / tokens - 1.0).abs() < 1e-3, "{record}");
        }
        for (samples, [mean, deviation]) in [(ns, ["avg_ns", "stddev_ns"]), (rates, ["avg_ts", "stddev_ts"])]
        {
            for (key, right) in [mean, deviation].into_iter().zip(statistics(&samples)) {
                let told = record[key].as_f64().unwrap();
                assert!((told - right).abs() <= 1e-6 * right + 1.0, "{key}: {told} is not {right}");
            }
        }
    }
}

#[test]
fn every_output_tells_the_same() {
    let run = |style| stdout(&["-p", "4-6+2", "-n", "0", "-r", "2", "-o", style]);
    let json: Value = serde_json::from_str(&run("json")).unwrap();
    let [first, second] = &json.as_array().unwrap()[..] else { panic!("{json}") };
    let names: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, second.as_object().unwrap().keys().collect::<Vec<_>>());
    let of_llama_bench = [
        "build_commit",
        "cpu_info",
        "gpu_info",
        "backends",
        "model_filename",
        "model_type",
        "model_size",
        "model_n_params",
        "n_batch",
        "n_ubatch",
        "n_threads",
        "type_k",
        "type_v",
        "n_prompt",
        "n_gen",
        "n_depth",
        "test_time",
        "avg_ns",
        "stddev_ns",
        "avg_ts",
        "stddev_ts",
        "samples_ns",
        "samples_ts",
    ];
    for name in of_llama_bench {
        assert!(names.contains(&name), "{name}");
    }
    let flat: Vec<&str> = names.into_iter().filter(|name| !name.starts_with("samples_")).collect();

    let csv = run("csv");
    assert_eq!(csv.lines().next().unwrap().split(',').collect::<Vec<_>>(), flat);
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split("\",\"").collect()).collect();
    let at = |name| flat.iter().position(|&known| known == name).unwrap();
    assert_eq!(rows.iter().map(|row| row[at("n_prompt")]).collect::<Vec<_>>(), ["4", "6"]);
    assert!(rows.iter().all(|row| row.len() == flat.len()), "{csv}");

    let table = run("md");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows[0], ["model", "size", "params", "backend", "test", "t/s"], "{table}");
    assert_eq!(rows.len(), 4, "{table}");
    assert!(rows[2][0].starts_with("llama ") && rows[2][0].ends_with(" F16"), "{table}");
    assert_eq!((rows[2][3], rows[2][4], rows[3][4]), ("CPU", "pp4", "pp6"), "{table}");
    assert!(rows[3][5].contains(" ± "), "{table}");

    let sql = run("sql");
    let (create, inserts) = sql.split_once(");\n\n").unwrap();
    let mut lines = create.lines();
    assert_eq!(lines.next(), Some("CREATE TABLE IF NOT EXISTS qmill_bench_models ("));
    let fields: Vec<(&str, &str)> =
        lines.map(|line| line.trim().trim_end_matches(',').split_once(' ').unwrap()).collect();
    assert_eq!(fields.iter().map(|(name, _)| *name).collect::<Vec<_>>(), flat);
    assert_eq!(
        (fields[at("n_prompt")].1, fields[at("avg_ts")].1, fields[at("model_type")].1),
        ("INTEGER", "REAL", "TEXT")
    );
    let heading = format!("INSERT INTO qmill_bench_models ({}) VALUES (", flat.join(", "));
    assert_eq!(inserts.lines().count(), 2, "{sql}");
    assert!(inserts.lines().all(|line| line.starts_with(&heading) && line.ends_with(");")), "{sql}");
}

#[test]
fn lists_multiply_out_and_short_words_are_taken() {
    let short = ["-p", "5", "-n", "0", "-r", "1", "-t", "1,2", "-b", "4,8", "-ub", "3", "-ctk", "f16,f32"];
    let long =
        ["-p", "5", "-n", "0", "-r", "1", "--threads", "1-2", "--batch-size", "4-8*2", "--ubatch-size", "3"];
    let cache = ["--cache-type-k", "f16", "--cache-type-k", "f32"];
    let keys = ["n_batch", "n_ubatch", "type_k", "type_v", "n_threads"];
    let combinations = |arguments: &[&str]| {
        let records = records(arguments);
        let words = |record: &Value| keys.map(|key| record[key].to_string().replace('"', "")).join(" ");
        records.iter().map(words).collect::<Vec<_>>()
    };
    let expected: Vec<String> = ["4", "8"]
        .into_iter()
        .flat_map(|batch| {
            ["f16", "f32"].map(|cache| [1, 2].map(|threads| format!("{batch} 3 {cache} {cache} {threads}")))
        })
        .flatten()
        .collect();
    assert_eq!(combinations(&short), expected);
    assert_eq!(combinations(&[&long[..], &cache].concat()), expected);
    let pairs = records(&["-p", "5", "-n", "0", "-r", "1", "-ctk", "f16,f32", "-ctv", "f32,f16"]);
    let types = pairs.iter().map(|record| ["type_k", "type_v"].map(|key| record[key].as_str().unwrap()));
    assert_eq!(types.collect::<Vec<_>>(), [["f16", "f32"], ["f16", "f16"], ["f32", "f32"], ["f32", "f16"]]);
    // Options that differ from the default have a column.
    let table = stdout(&[&short[..8], &["-ub", "3", "-ctk", "f32", "-ctv", "f32"]].concat());
    for heading in [" threads ", " n_ubatch ", " type_k ", " type_v "] {
        assert!(table.contains(heading), "{table}");
    }
    assert!(!table.contains(" n_batch "), "{table}");
}

/// One full-precision file gives a table of types.
#[test]
fn types_are_made_while_loading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q8.gguf");
    let path = path.to_str().unwrap();
    let quantize = ["quantize", TINY_SHAKESPEARE, path, "Q8_0", "--device", "cpu"];
    assert!(Command::new(env!("CARGO_BIN_EXE_qmill")).args(quantize).output().unwrap().status.success());
    let quick = ["-p", "2", "-n", "0", "-r", "1"];
    let found = records(&[&quick[..], &["--quantize", "COPY,q8_0,Q4_K_M"]].concat());
    let types = texts(&found, "model_type");
    assert_eq!(
        types.iter().map(|name| name.rsplit_once(' ').unwrap().1).collect::<Vec<_>>(),
        ["F16", "Q8_0", "Q4_K_M"]
    );
    let sizes: Vec<u64> = found.iter().map(|record| record["model_size"].as_u64().unwrap()).collect();
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
    // The file that it stands for is the second of the models.
    let models = records(&[&quick[..], &["-m", path]].concat());
    assert_eq!(texts(&models, "model_filename"), [TINY_SHAKESPEARE, path]);
    for key in ["model_type", "model_size", "model_n_params"] {
        assert_eq!(models[1][key], found[1][key], "{key}");
        assert_eq!(models[0][key], found[0][key], "{key}");
    }
}

#[test]
fn an_earlier_run_is_compared_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("earlier");
    for style in ["json", "csv"] {
        fs::write(&path, stdout(&["-p", "3", "-n", "0", "-r", "1", "-o", style])).unwrap();
        let now = records(&["-p", "3", "-n", "2", "-r", "1", "--compare", path.to_str().unwrap()]);
        assert!(now[0]["ratio"].as_f64().unwrap() > 0.0, "{style}: {}", now[0]);
        assert_eq!(now[1]["ratio"], Value::Null, "{style}");
    }
    // Operations are something else.
    let output = qmill(&["--device", "cpu", "--compare", path.to_str().unwrap()]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("is no output of qmill bench of this kind"), "{error}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let model = ["-m", TINY_SHAKESPEARE, "--device", "cpu", "-p", "2", "-n", "0", "-r", "1"];
    let cases: [(&[&str], i32, &str); 10] = [
        (&["--op", "matvec"], 2, "cannot be used with"),
        (&["-pg", "5"], 2, "is not two numbers of tokens"),
        (&["-d", "8-1"], 2, "is not a number or a range"),
        (&["-ctk", "q8_0"], 2, "[possible values: f16, f32]"),
        (&["--precision", "half"], 2, "[possible values: int8, exact]"),
        (&["--quantize", "IQ2_XXS"], 2, "IQ2_XXS"),
        (&["-ub", "0"], 1, "the tokens of a batch is 0"),
        (&["-b", "0"], 1, "the number of tokens at once is 0"),
        (&["-t", "0"], 1, "the number of threads is 0"),
        (&["-m", "no such file"], 1, "no such file"),
    ];
    for (arguments, code, words) in cases {
        let output = qmill(&[&model[..], arguments].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(words), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty() || code == 1, "{arguments:?}");
    }
    for (arguments, code, words) in [
        (&["-p", "512"][..], 2, "--model"),
        (&["-m", TINY_SHAKESPEARE, "-p", "0", "-n", "0"], 2, "there is nothing to measure"),
        (&["-m", TINY_SHAKESPEARE, "-r", "0", "--device", "cpu"], 1, "the number of repetitions is 0"),
    ] {
        let output = qmill(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}

#[test]
fn devices_and_progress_are_told() {
    let list = stdout(&["--list-devices"]);
    assert!(list.lines().any(|line| line.starts_with("cpu: ")), "{list}");
    let numbered = list.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count();
    assert_eq!(numbered, qmill::gpu::adapters().len(), "{list}");
    let arguments =
        ["-m", TINY_SHAKESPEARE, "--device", "cpu", "-p", "2", "-n", "1", "-r", "2", "--progress"];
    let told = |more: &[&str]| String::from_utf8(qmill(&[&arguments, more].concat()).stderr).unwrap();
    // Repetitions take turns.
    let lines = [
        "1 of 2: pp2: warm-up",
        "2 of 2: tg1: warm-up",
        "1 of 2: pp2: repetition 1 of 2",
        "2 of 2: tg1: repetition 1 of 2",
        "1 of 2: pp2: repetition 2 of 2",
        "2 of 2: tg1: repetition 2 of 2",
    ];
    let expected: Vec<String> = lines.map(|line| format!("qmill: {line}")).to_vec();
    assert_eq!(told(&[]).lines().collect::<Vec<_>>(), expected);
    assert_eq!(told(&["--no-warmup"]).lines().collect::<Vec<_>>(), expected[2..]);
}

fn tiny(options: &LoadOptions) -> Model {
    Model::load(TINY_SHAKESPEARE, options).unwrap()
}

#[test]
fn a_measurement_goes_through_its_stages() {
    let model = tiny(&LoadOptions::default().with_context(16));
    let case = ModelCase { prompt: 5, generated: 3, depth: 8 };
    assert_eq!((case.tokens(), case.context(), case.to_string()), (8, 16, "pp5+tg3 @ d8".to_owned()));
    let settings = ModelSettings::default().with_repetitions(2).with_batch(2);
    let mut stages = Vec::new();
    let timing = case.measure(&model, &settings, &mut |stage| stages.push(stage)).unwrap();
    assert_eq!(stages, [Stage::Depth, Stage::WarmUp, Stage::Repetition(1), Stage::Repetition(2)]);
    assert_eq!((timing.seconds.values().len(), timing.rates.values().len()), (2, 2));
    assert!(timing.seconds.min() > 0.0);

    let error =
        |case: ModelCase, settings: ModelSettings| case.measure(&model, &settings, &mut |_| ()).unwrap_err();
    let full = error(ModelCase { depth: 9, ..case }, settings);
    assert!(matches!(full, Error::ContextFull { context: 16, needed: 17 }), "{full}");
    for (case, settings) in [
        (ModelCase { prompt: 0, generated: 0, depth: 1 }, settings),
        (case, settings.with_repetitions(0)),
        (case, settings.with_batch(0)),
    ] {
        let none = error(case, settings);
        assert!(matches!(none, Error::Number { found: 0, .. }), "{none}");
    }
}

/// Batches and threads affect only the speed. A context may be longer than the model was trained for.
#[test]
fn sessions_of_other_kinds_say_the_same() {
    let logits = |model: &Model| {
        let mut session = Session::new(model).unwrap();
        session.prefill(&[3, 1, 4, 1, 5, 9, 2, 6]).unwrap();
        session.logits().to_vec()
    };
    for device in [Some(Device::Cpu), gpu().map(|gpu| Device::Gpu(gpu.clone()))].into_iter().flatten() {
        let options = LoadOptions::default()
            .with_device(device)
            .with_context(8)
            .with_cache_keys(Format::F32)
            .with_cache_values(Format::F32);
        let model = tiny(&options);
        let right = logits(&model);
        let longer = 2 * model.config().trained_context;
        let other = options.clone().with_context(longer).with_batch(3).with_threads(1);
        let other = model.with_sessions(&other).unwrap();
        assert_eq!(other.context(), longer);
        let largest = right.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        // A GPU may sum in another order.
        let bound = if matches!(options.device, Device::Cpu) { 0.0 } else { 1e-2 * largest };
        for (found, right) in logits(&other).iter().zip(&right) {
            assert!((found - right).abs() <= bound, "{found} is not {right}");
        }
        for wrong in [
            options.clone().with_batch(0),
            options.clone().with_threads(0),
            options.clone().with_context(0),
            options.clone().with_cache_keys(Format::Q8_0),
        ] {
            let error = model.with_sessions(&wrong).unwrap_err();
            assert!(matches!(error, Error::Number { found: 0, .. } | Error::Unsupported { .. }), "{error}");
        }
    }
}
