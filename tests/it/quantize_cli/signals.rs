//! Ctrl-C, `kill`, and limits of the system.

use super::{Folder, Ran};
use crate::support::{ModelFile, gaussian, quantized};
use qmill::Format::F32;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

/// A model of 64 MiB, so that a run with a single thread takes a while.
fn large() -> ModelFile {
    let bytes = quantized(F32, &gaussian(1, 1 << 20));
    (0..16).fold(ModelFile::llama(), |file, layer| {
        file.with_bytes(&format!("blk.{layer}.attn_q.weight"), &[1024, 1024], F32, bytes.clone())
    })
}

#[test]
fn a_signal_ends_the_run_and_nothing_is_left() {
    let folder = Folder::with(&large());
    for signal in ["-INT", "-TERM"] {
        let mut child = folder
            .command("quantize --threads 1 in.gguf out.gguf IQ4_XS")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        stdout.read_line(&mut said).unwrap();
        assert!(said.starts_with("[   1/16]"), "{said}");
        assert_eq!(folder.files(), [".out.gguf.qmill-part", "in.gguf"]);
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        stdout.read_to_string(&mut said).unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(130), "{signal}: {said}");
        assert_eq!(ran.stderr, "qmill: interrupted; nothing was left behind\n");
        assert!(said.lines().count() < 16, "{said}");
        assert_eq!(folder.files(), ["in.gguf"], "{signal}");
    }
}

/// Like a full disk: the system sends a signal that ends a program unless it handles the signal.
#[test]
fn a_limit_on_the_size_of_files_is_an_error() {
    let folder = Folder::with(&large());
    let program = env!("CARGO_BIN_EXE_qmill");
    let script = format!("ulimit -f 100 && exec '{program}' quantize in.gguf out.gguf Q8_0");
    let output = Command::new("sh").args(["-c", &script]).current_dir(folder.0.path()).output().unwrap();
    let ran = Ran::from(output);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains(".out.gguf.qmill-part: cannot write: "), "{}", ran.stderr);
    assert_eq!(folder.files(), ["in.gguf"]);
}
