//! `qmill quantize` and `qmill dequantize` as programs: arguments, output, exit codes.

mod arguments;
mod concurrent;
mod fit;
mod formats;
mod output;
mod paths;
#[cfg(unix)]
mod signals;

use crate::support::{ModelFile, files_in};
use qmill::Format::{F16, F32};
use qmill::gguf::Model;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A folder with `in.gguf`, in which the program runs.
struct Folder(TempDir);

/// The result of a run of the program.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Folder {
    /// With a Llama model of two layers whose rows suit every format.
    fn new() -> Self {
        let llama = ModelFile::llama()
            .with_gaussian("token_embd.weight", &[256, 12], F16)
            .with_gaussian("output.weight", &[256, 12], F16)
            .with_gaussian("output_norm.weight", &[256], F32);
        Self::with(&(0..2).fold(llama, |file, layer| {
            file.with_gaussian(&format!("blk.{layer}.attn_v.weight"), &[256, 8], F16).with_gaussian(
                &format!("blk.{layer}.ffn_down.weight"),
                &[512, 8],
                F16,
            )
        }))
    }

    fn with(file: &ModelFile) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        file.save(&folder.path("in.gguf"));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, name: &str) -> Model {
        Model::open(self.path(name)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        files_in(self.0.path())
    }

    /// The program with `arguments`, words with spaces between.
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qmill"));
        command.args(arguments.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &str) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    /// The output of a successful run.
    #[track_caller]
    fn done(&self, arguments: &str) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments}");
        ran.stdout
    }

    /// Checks that the program fails with `code`, prints each of `words` to the standard error and does not
    /// change the folder.
    #[track_caller]
    fn refused(&self, arguments: &str, code: i32, words: &[&str]) {
        let before = self.files();
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{arguments}: {}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "{arguments}: no {word:?} in {}", ran.stderr);
        }
        // Wrong usage is explained; anything else is one line.
        assert!(code == 2 || ran.stderr.lines().count() == 1, "{arguments}: {}", ran.stderr);
        assert_eq!(self.files(), before, "{arguments}");
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
