//! Bad input, and runs that are interrupted.

use super::{CHUNKS, TINY_SHAKESPEARE, failure, stdout};
use crate::support::{files_in, tensor_bytes};
use qmill::Error;
use qmill::eval::Chunks;
use qmill::gguf::{self, Writer};
use qmill::llm::LoadOptions;
use qmill::report::{Cases, Device, Keep, Options, Stage, measure};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

#[test]
fn wrong_requests_are_answered_before_anything_is_computed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("short.txt"), "To be").unwrap();
    fs::write(path("taken.txt"), "").unwrap();
    fs::create_dir(path("taken")).unwrap();
    fs::write(path("taken/report.md"), "mine").unwrap();
    stdout(&["quantize", TINY_SHAKESPEARE, &path("q8.gguf"), "Q8_0"]);
    let base = ["report", "-m", TINY_SHAKESPEARE, "--device", "cpu"];
    let refused = |more: &[&str]| failure(&[&base, more].concat());
    for (more, code, word) in [
        (&["--types", "Q4_K_N"][..], 2, "a similar value exists: 'Q4_K_M'"),
        (&["--types", "Q4_0,IQ2_XXS"], 2, "IQ2_XXS"),
        (&["--types", "like:banana"], 2, "banana"),
        (&["-f", &path("short.txt")], 1, "the number of tokens in the text is"),
        (&["-f", &path("absent.txt")], 1, "absent.txt: cannot read"),
        (&["-c", "3"], 1, "the length of a chunk is 3"),
        (&["-r", "0"], 2, "no number from 1 on"),
        (&["-o", &path("taken")], 1, "report.md: exists already"),
        (&["-o", &path("taken.txt")], 1, "taken.txt"),
        (&["-o", &path("new"), "-c", "3"], 1, "the length of a chunk is 3"),
        (&["--merge", "x.json"], 2, "cannot be used with"),
    ] {
        let (line, found) = refused(more);
        assert!(found == code && line.contains(word), "{more:?}: {found}: {line}");
    }
    let (line, code) = failure(&["report", "-m", &path("q8.gguf"), "--device", "cpu", "--types", "Q4_0"]);
    assert!(code == 1 && line.contains("is Q8_0 already"), "{line}");
    assert_eq!(fs::read_to_string(path("taken/report.md")).unwrap(), "mine");
    assert_eq!(files_in(&folder.path().join("taken")), ["report.md"]);
    // A folder that a failed run made is gone.
    assert!(!folder.path().join("new").exists());
    let (_, code) = failure(&["report"]);
    assert_eq!(code, 2);

    // With the flag, the page says that errors add up.
    let q8 = path("q8.gguf");
    let quantized = ["report", "-m", &q8, "--device", "cpu", "--allow-requantize", "--types", "Q4_0"];
    let printed = stdout(&[&quantized[..], &CHUNKS, &["-n", "0", "-p", "0"]].concat());
    assert!(printed.contains("quantized already, so the errors of the types add to its own"), "{printed}");
}

#[test]
fn a_model_that_does_not_run_and_a_weight_that_is_no_number_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = gguf::Model::open(TINY_SHAKESPEARE).unwrap();
    let save = |name: &str, architecture: Option<&str>, nan: Option<&str>| {
        let mut metadata = model.metadata().clone();
        if let Some(architecture) = architecture {
            metadata.set("general.architecture", architecture);
        }
        let infos = model.tensors().map(|tensor| tensor.info.clone()).collect();
        let layout = gguf::Layout::new(&metadata, infos).unwrap();
        let mut writer = Writer::new(Vec::new(), layout).unwrap();
        for tensor in model.tensors() {
            let mut bytes = tensor_bytes(&model, tensor.info.name());
            if nan == Some(tensor.info.name()) {
                bytes[6..8].copy_from_slice(&0x7e00u16.to_le_bytes());
            }
            writer.write_data(&bytes).unwrap();
        }
        let path = folder.path().join(name);
        fs::write(&path, writer.finish().unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let run = |path: &str| {
        failure(&[&["report", "-m", path, "--device", "cpu", "--types", "Q4_0"], &CHUNKS[..]].concat())
    };
    let (line, code) = run(&save("mamba.gguf", Some("mamba"), None));
    assert!(code == 1 && line.contains("mamba"), "{line}");
    let (line, code) = run(&save("nan.gguf", None, Some("blk.2.ffn_down.weight")));
    assert!(code == 1 && line.contains("blk.2.ffn_down.weight: row 0, column 3 is NaN"), "{line}");
}

fn options(keep: Keep) -> Options {
    Options {
        kinds: vec!["Q4_0".parse().unwrap()],
        text: (1..40).collect(),
        text_name: "numbers".to_owned(),
        chunks: Chunks { tokens: 16, limit: None, bos: None },
        devices: vec![Device { name: "CPU".to_owned(), device: qmill::Device::Cpu }],
        load: LoadOptions::default(),
        cases: Some(Cases { prompt: 2, generated: 1, repetitions: 1 }),
        allow_requantize: false,
        memory_limit: None,
        keep,
    }
}

/// Runs until the `stop`th call of the progress. Returns the stages that were reported.
fn run_until(
    stop: usize,
    folder: &Path,
    keep: fn(std::path::PathBuf) -> Keep,
) -> (qmill::Result<()>, Vec<Stage>) {
    let model = gguf::Model::open(TINY_SHAKESPEARE).unwrap();
    let mut stages = Vec::new();
    let keep = keep(folder.join("base.logits"));
    let result = measure(&model, &options(keep), &mut |progress| {
        assert!(progress.done <= progress.total, "{progress:?}");
        stages.push(progress.stage);
        if stages.len() > stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    (result.map(|_| ()), stages)
}

#[test]
fn an_interrupted_report_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let (finished, stages) = run_until(usize::MAX, folder.path(), Keep::Temporary);
    finished.unwrap();
    assert!(files_in(folder.path()).is_empty());
    for stage in [Stage::Error, Stage::Load, Stage::Predict, Stage::Speed] {
        assert!(stages.contains(&stage), "{stage:?} was not reported");
    }
    for stop in 0..stages.len() {
        let (stopped, _) = run_until(stop, folder.path(), Keep::Temporary);
        assert!(matches!(stopped, Err(Error::Cancelled)), "{stop}");
        assert!(files_in(folder.path()).is_empty(), "{stop}");
    }

    // A file that stays is complete or not there: while the base is evaluated, it is not.
    let in_base = stages.iter().position(|&stage| stage == Stage::Predict).unwrap();
    let (stopped, _) = run_until(in_base + 1, folder.path(), Keep::File);
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert!(files_in(folder.path()).is_empty());
    let (stopped, _) = run_until(stages.len() - 1, folder.path(), Keep::File);
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert_eq!(files_in(folder.path()), ["base.logits"]);
    qmill::eval::BaseLogits::open(&folder.path().join("base.logits")).unwrap();
}
