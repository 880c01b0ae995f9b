//! Two runs with the same output: afterwards the output is the file of one run, or the earlier file.

use super::Folder;
use crate::support::{ModelFile, gaussian, quantized};
use qmill::Format::F32;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Instant;

const TYPES: [&str; 2] = ["IQ4_XS", "Q8_0"];

/// A model of 2 MiB in many tensors: a run takes some hundredths of a second.
fn model() -> ModelFile {
    let bytes = quantized(F32, &gaussian(1, 1 << 15));
    (0..16).fold(ModelFile::llama(), |file, layer| {
        file.with_bytes(&format!("blk.{layer}.attn_q.weight"), &[256, 128], F32, bytes.clone())
    })
}

fn start(folder: &Folder, file_type: &str) -> Child {
    let mut command =
        folder.command(&format!("quantize --force --device cpu --threads 1 in.gguf out.gguf {file_type}"));
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn two_runs_with_one_output_and_random_kills_leave_a_whole_file() {
    let folder = Folder::with(&model());
    let start_time = Instant::now();
    let whole = TYPES.map(|file_type| {
        folder.done(&format!("quantize --device cpu --threads 1 in.gguf {file_type}.gguf {file_type}"));
        fs::read(folder.path(&format!("{file_type}.gguf"))).unwrap()
    });
    // Kills come while a run of this machine is under way.
    let run_time = start_time.elapsed() / 2;
    fs::write(folder.path("out.gguf"), "older").unwrap();
    let mut random = StdRng::seed_from_u64(14);
    let (mut refused, mut killed, mut done) = (0, 0, 0);
    for round in 0..400 {
        // A shared machine may need more rounds until every case has happened.
        if round >= 50 && refused > 3 && killed > 3 && done > 3 {
            break;
        }
        let before = fs::read(folder.path("out.gguf")).unwrap();
        let first = start(&folder, TYPES[round % 2]);
        thread::sleep(run_time.mul_f64(random.random_range(0.0..0.3)));
        let mut runs =
            [(first, TYPES[round % 2]), (start(&folder, TYPES[1 - round % 2]), TYPES[1 - round % 2])];
        // Three rounds of four end with a kill: of the first, of the second, of both.
        thread::sleep(run_time.mul_f64(random.random_range(0.0..0.8)));
        for (number, (run, _)) in runs.iter_mut().enumerate() {
            if ((round / 2) % 4) & (1 << number) != 0 {
                run.kill().unwrap();
            }
        }
        let (mut may_be, mut any_done) = (Vec::new(), false);
        for (run, file_type) in runs {
            let output = run.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            match output.status.code() {
                Some(0) => (done, any_done) = (done + 1, true),
                Some(1) => {
                    assert!(said.starts_with("qmill: out.gguf: another run is writing it"), "{said}");
                    refused += 1;
                    continue;
                }
                // The run may have renamed the file before.
                None => killed += 1,
                Some(code) => panic!("{code}: {said}"),
            }
            may_be.push(&whole[TYPES.iter().position(|known| *known == file_type).unwrap()]);
        }
        if !any_done {
            may_be.push(&before);
        }
        let found = fs::read(folder.path("out.gguf")).unwrap();
        assert!(may_be.contains(&&found), "round {round}: {} bytes that no run made", found.len());
    }
    // Otherwise some case was not tested.
    assert!(refused > 3 && killed > 3 && done > 3, "{refused} refused, {killed} killed, {done} done");
    folder.done("quantize --force in.gguf out.gguf Q8_0");
    assert!(fs::read(folder.path("out.gguf")).unwrap() == whole[1]);
    assert_eq!(folder.files(), ["IQ4_XS.gguf", "Q8_0.gguf", "in.gguf", "out.gguf"]);
}
