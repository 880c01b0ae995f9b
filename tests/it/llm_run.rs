//! Generation of text: the generator, `qmill run` and `qmill perplexity`, on the CPU.

mod chat;
mod perplexity;

use crate::support::TINY_SHAKESPEARE;
use qmill::Error;
use qmill::eval::{self, Chunks, Divergence, Perplexity};
use qmill::gguf::{self, TensorInfo, Value as Entry, Writer};
use qmill::llm::{End, Generator, LoadOptions, Model, SamplerOptions, Session, Tokenizer};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

const HELD_OUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/held-out.txt");
const ROMEO: &str = "ROMEO:\nBut, soft! what light";

fn tiny(context: Option<usize>) -> (Model, Arc<Tokenizer>) {
    let model = Model::load(TINY_SHAKESPEARE, &LoadOptions::default().with_context(context)).unwrap();
    let tokenizer = Tokenizer::new(model.metadata()).unwrap();
    (model, Arc::new(tokenizer))
}

fn proceed(_: &str) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn tokens_in_the_session_are_not_computed_again() {
    let (model, tokenizer) = tiny(None);
    let new = || {
        Generator::new(Session::new(&model).unwrap(), tokenizer.clone(), SamplerOptions::greedy()).unwrap()
    };
    let mut talk = new();
    let prompt = tokenizer.prompt(ROMEO);
    let mut shown = String::new();
    let first = talk
        .answer(&prompt, 6, &mut |text| {
            shown.push_str(text);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((first.tokens.len(), first.end, first.prompt_tokens), (6, End::Limit, prompt.len()));
    assert_eq!((first.steps, &shown), (5, &first.text));
    assert_eq!(tokenizer.decode(&first.tokens), first.text);

    // A prompt that continues the answer costs its new tokens; one that differs costs everything from the
    // difference on.
    for (longer, new_tokens) in [
        ([&prompt, first.tokens.as_slice(), &prompt].concat(), prompt.len()),
        ([&prompt[..3], &prompt[2..]].concat(), prompt.len() - 2),
        (prompt[..2].to_vec(), 1),
    ] {
        let again = talk.answer(&longer, 4, &mut proceed).unwrap();
        assert_eq!(again.prompt_tokens, new_tokens);
        assert_eq!(again.tokens, new().answer(&longer, 4, &mut proceed).unwrap().tokens);
    }
}

#[test]
fn answers_end_for_each_reason() {
    let (model, tokenizer) = tiny(Some(24));
    let prompt = tokenizer.prompt(ROMEO);
    let room = 24 - prompt.len();
    let answer = |tokenizer: &Arc<Tokenizer>, prompt: &[u32], limit, stop_after| {
        let mut generator =
            Generator::new(Session::new(&model).unwrap(), tokenizer.clone(), SamplerOptions::greedy())
                .unwrap();
        let mut shown = 0;
        generator.answer(prompt, limit, &mut |_| {
            shown += 1;
            if shown == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    let full = answer(&tokenizer, &prompt, 100, 0).unwrap();
    assert_eq!((full.end, full.tokens.len()), (End::Context, room));
    let none = answer(&tokenizer, &prompt, 0, 0).unwrap();
    assert_eq!((none.end, none.tokens.len(), none.steps), (End::Limit, 0, 0));
    let stopped = answer(&tokenizer, &prompt, 100, 2).unwrap();
    assert_eq!((stopped.end, stopped.tokens.as_slice()), (End::Stopped, &full.tokens[..2]));
    let error = answer(&tokenizer, &prompt.repeat(5), 1, 0).unwrap_err();
    assert!(matches!(error, Error::ContextFull { context: 24, .. }), "{error}");

    // If the third token is EOS in the file, the answer has the two before it.
    let third = full.tokens[2];
    assert!(!full.tokens[..2].contains(&third));
    let mut metadata = model.metadata().clone();
    metadata.set("tokenizer.ggml.eos_token_id", Entry::U32(third));
    let ended = answer(&Arc::new(Tokenizer::new(&metadata).unwrap()), &prompt, 100, 0).unwrap();
    assert_eq!((ended.end, ended.tokens.as_slice(), ended.steps), (End::Token, &full.tokens[..2], 2));
}

fn qmill(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_qmill")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    qmill(&[&["run", "-m", TINY_SHAKESPEARE, "--device", "cpu"], arguments].concat())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn run_prints_the_answer_and_its_figures() {
    let (model, tokenizer) = tiny(None);
    let mut generator =
        Generator::new(Session::new(&model).unwrap(), tokenizer.clone(), SamplerOptions::greedy()).unwrap();
    let prompt = tokenizer.prompt(ROMEO);
    let expected = generator.answer(&prompt, 8, &mut proceed).unwrap();

    let plain = run(&["-p", ROMEO, "-n", "8", "--temp", "0"]);
    let (stdout, stderr) = (text(plain.stdout), text(plain.stderr));
    assert_eq!((plain.status.code(), &stdout), (Some(0), &format!("{}\n", expected.text)), "{stderr}");
    // One line of figures by default, more with --stats.
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in ["[loaded in ", "prompt ", "answer 8 tokens, ", "; limit]"] {
        assert!(stderr.contains(part), "{part:?} in {stderr}");
    }
    let stats = run(&["-p", ROMEO, "-n", "8", "--temp", "0", "--stats"]);
    assert_eq!(text(stats.stdout), stdout);
    let stderr = text(stats.stderr);
    for part in
        ["load ", "prompt ", "8 tokens in ", "tokens/s", "7.01 MiB in the file, 16.01 bits per weight", "CPU"]
    {
        assert!(stderr.contains(part), "{part:?} in {stderr}");
    }

    let json = text(run(&["-p", ROMEO, "-n", "8", "--temp", "0", "--seed", "5", "--json"]).stdout);
    assert_eq!(json.lines().count(), 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["text"], &json["end"]), (&expected.text.into(), &"limit".into()));
    assert_eq!((&json["prompt_tokens"], &json["generated_tokens"]), (&prompt.len().into(), &8.into()));
    assert_eq!((&json["seed"], &json["file_bytes"]), (&5.into(), &model.file_bytes().into()));
    assert_eq!(json["device_bytes"], model.device_bytes());
    let rate = json["generated_tokens_per_second"].as_f64().unwrap();
    assert!((rate - 7.0 / json["generate_seconds"].as_f64().unwrap()).abs() < 1e-6 * rate, "{json}");

    // The same seed gives the same text.
    let hot = || text(run(&["-p", ROMEO, "-n", "12", "--temp", "1.5", "--seed", "3"]).stdout);
    assert_eq!(hot(), hot());
}

#[test]
fn run_reports_errors() {
    for (arguments, code, message) in [
        // Without a terminal there is no chat.
        ([].as_slice(), 2, "there is no prompt: -p TEXT or -f FILE"),
        (&["-p", ROMEO, "-c", "4"], 1, "do not fit a context of 4"),
        (&["--chat", "--json"], 1, "tiny-shakespeare-f16.gguf: there is no chat template in it"),
        (&["--system", "Be kind"], 1, "there is no chat template in it"),
        (&["-p", ""], 2, "the prompt is empty, and this model begins no text"),
        (&["-f", "no such file"], 1, "cannot read"),
    ] {
        let ran = run(arguments);
        let stderr = text(ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(message) && stderr.lines().count() == 1, "{stderr}");
    }
}

/// What llama-cli has for no limit, for all and for another each time; and what qmill has not.
#[test]
fn words_of_llama_cli_are_understood() {
    let json = |arguments: &[&str]| -> Value {
        let ran = run(&[&["-p", ROMEO, "--json"], arguments].concat());
        assert!(ran.status.success(), "{}", text(ran.stderr));
        serde_json::from_str(&text(ran.stdout)).unwrap()
    };
    let greedy = json(&["-n", "6", "--temp", "0", "-t", "0", "-b", "3", "-ctk", "f32", "--cache-type-v=F32"]);
    let unlimited = json(&["-n", "-1", "--temp", "0", "-c", "40", "--top-k", "-1"]);
    assert_eq!(unlimited["end"], "the context is full");
    let (short, long) = (greedy["text"].as_str().unwrap(), unlimited["text"].as_str().unwrap());
    assert!(long.starts_with(short) && !short.is_empty(), "{short:?}, {long:?}");
    // Another seed each time.
    let hot = ["-n", "2", "--temp", "1", "-s", "-1"];
    assert_ne!(json(&hot)["seed"], json(&hot)["seed"]);
    // The whole context that the model was trained for.
    let trained = json(&["-n", "1", "-c", "0", "--top-k", "0"]);
    let twice = json(&["-n", "1", "-c", "1024"]);
    let (trained, twice) =
        (trained["context_bytes"].as_u64().unwrap(), twice["context_bytes"].as_u64().unwrap());
    assert_eq!(twice % trained, 0, "{trained}, {twice}");

    let noted = run(&["-p", ROMEO, "-n", "1", "-ngl", "99", "--no-mmap", "-c", "100000"]);
    let stderr = text(noted.stderr);
    assert!(noted.status.success(), "{stderr}");
    for part in [
        "note: -ngl 99 is left out: a model is on one device as a whole",
        "note: --no-mmap is left out: ",
        "warning: a context of 100000 tokens is longer than the ",
    ] {
        assert!(stderr.contains(part), "{stderr}");
    }
    let refused = run(&["-p", ROMEO, "-ot", "exps=CPU"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(refused.stderr).contains("there is no -ot here; a model is on one device"));
}

#[test]
fn prompts_come_from_files_and_need_not_be_utf_8() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prompt.txt");
    let file = |bytes: &[u8], more: &[&str]| {
        fs::write(&path, bytes).unwrap();
        let arguments = ["-f", path.to_str().unwrap(), "-n", "4", "--temp", "0"];
        let ran = run(&[&arguments, more].concat());
        assert!(ran.status.success(), "{}", text(ran.stderr));
        (text(ran.stdout), text(ran.stderr))
    };
    let prompt = |text_: &str| text(run(&["-p", text_, "-n", "4", "--temp", "0"]).stdout);
    assert_eq!(file(b"ROMEO:\nBut\n", &[]).0, prompt("ROMEO:\nBut"));
    assert_eq!(file(b"ROMEO:\\nBut", &["-e"]).0, prompt("ROMEO:\nBut"));
    let (stdout, stderr) = file(b"ROMEO:\xFF But \xFE", &[]);
    assert_eq!(stdout, prompt("ROMEO:\u{FFFD} But \u{FFFD}"));
    assert_eq!(stderr.matches("no UTF-8").count(), 1, "{stderr}");
}

/// The tiny model with a chat template.
fn save_chat_model(path: &Path) {
    let template = "{% for m in messages %}{{ m.role.upper() }}:\n{{ m.content }}\n{% endfor %}ASSISTANT:";
    save_model_with(path, |metadata| metadata.set("tokenizer.chat_template", template));
}

/// The tiny model with other keys.
fn save_model_with(path: &Path, change: impl FnOnce(&mut gguf::Metadata)) {
    let model = gguf::Model::open(TINY_SHAKESPEARE).unwrap();
    let mut metadata = model.metadata().clone();
    change(&mut metadata);
    let infos: Vec<TensorInfo> = model.tensors().map(|tensor| tensor.info.clone()).collect();
    let layout = gguf::Layout::new(&metadata, infos).unwrap();
    let mut writer = Writer::new(Vec::new(), layout).unwrap();
    for tensor in model.tensors() {
        let mut bytes = vec![0; tensor.info.bytes() as usize];
        tensor.read_bytes(0, &mut bytes).unwrap();
        writer.write_data(&bytes).unwrap();
    }
    fs::write(path, writer.finish().unwrap()).unwrap();
}

#[test]
fn quantizing_while_loading_gives_the_text_of_the_quantized_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q4.gguf");
    let ran = qmill(&["quantize", TINY_SHAKESPEARE, path.to_str().unwrap(), "Q4_K_M", "--device", "cpu"]);
    assert!(ran.status.success());
    let in_place = run(&["-p", ROMEO, "-n", "8", "--temp", "0", "--quantize", "Q4_K_M"]);
    let from_file = qmill(&[
        "run",
        "-m",
        path.to_str().unwrap(),
        "--device",
        "cpu",
        "-p",
        ROMEO,
        "-n",
        "8",
        "--temp",
        "0",
    ]);
    assert_eq!(text(in_place.stdout), text(from_file.stdout));
    assert!(in_place.status.success());
}
