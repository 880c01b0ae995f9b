//! Generation of text: the generator, `qmill run` and `qmill perplexity`, on the CPU.

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

fn chat(path: &Path, arguments: &[&str]) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_qmill"))
        .args(["run", "--chat", "--device", "cpu", "--temp", "0", "-m"])
        .arg(path)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_chat_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.gguf");
    save_chat_model(&path);
    let mut child = chat(&path, &["-n", "6", "--json", "--system", "Be kind", "-p", "Who is there?"]);
    child.stdin.take().unwrap().write_all(b"\nAnd now?\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(output.stderr));
    let answers: Vec<Value> =
        text(output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2);

    let (_, tokenizer) = tiny(None);
    let first = tokenizer.prompt("SYSTEM:\nBe kind\nUSER:\nWho is there?\nASSISTANT:");
    assert_eq!(answers[0]["prompt_tokens"], first.len());
    // The session holds the start of the second prompt, which is the first.
    let answer = answers[0]["text"].as_str().unwrap();
    let second =
        format!("SYSTEM:\nBe kind\nUSER:\nWho is there?\nASSISTANT:{answer}\nUSER:\nAnd now?\nASSISTANT:");
    let second = tokenizer.prompt(&second).len();
    let new = answers[1]["prompt_tokens"].as_u64().unwrap() as usize;
    assert!(new > 0 && new <= second - first.len() + 1, "{new} of {second}");
}

/// Sends messages and commands, one a line, and returns the answers and standard error.
fn answers_of(path: &Path, arguments: &[&str], input: &[u8]) -> (Vec<Value>, String) {
    let mut child = chat(path, &[&["--json"], arguments].concat());
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = text(output.stderr);
    assert!(output.status.success(), "{stderr}");
    let answers = text(output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (answers, stderr)
}

#[test]
fn a_chat_takes_commands_and_any_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.gguf");
    save_chat_model(&path);
    let input = b"Who is there?\n/help\n/clear\nWho is there?\n\xFF\n\xFE\n/exit\nnot this\n";
    let (answers, stderr) = answers_of(&path, &["-n", "2"], input);
    assert_eq!(answers.len(), 4, "{stderr}");
    // After /clear, the same message gets the same answer. Invalid UTF-8 draws one note.
    assert_eq!(answers[0]["text"], answers[1]["text"]);
    assert!(
        stderr.contains("/clear  forget") && stderr.contains("the conversation is forgotten"),
        "{stderr}"
    );
    assert_eq!(stderr.matches("no UTF-8").count(), 1, "{stderr}");
}

#[test]
fn a_chat_forgets_its_oldest_messages_and_not_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.gguf");
    save_chat_model(&path);
    let (_, tokenizer) = tiny(None);
    let lines = "To be or not to be, that is the question of the day and of the night\n".repeat(5);
    let (answers, stderr) =
        answers_of(&path, &["-n", "8", "-c", "160", "--system", "Be kind"], lines.as_bytes());
    assert_eq!(answers.len(), 5, "{stderr}");
    assert!(answers.iter().all(|answer| answer["generated_tokens"] == 8), "{answers:?}");
    let note = "note: the context of 160 tokens is full: the oldest 2 messages are forgotten";
    assert!(stderr.contains(note), "{stderr}");
    // The session still holds the system message, and nothing after it.
    let held = tokenizer.prompt("SYSTEM:\nBe kind\nUSER:\n").len();
    assert!(answers[4]["prompt_tokens"].as_u64().unwrap() as usize + held <= 160, "{answers:?}");

    // One message that is too long is an error.
    let mut child = chat(&path, &["-c", "24"]);
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(output.stderr).contains("do not fit a context of 24"));
}

/// As in libllama, an empty prompt is the BOS token.
#[test]
fn an_empty_prompt_continues_from_bos() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bos.gguf");
    save_model_with(&path, |metadata| metadata.set("tokenizer.ggml.add_bos_token", Entry::Bool(true)));
    let path = path.to_str().unwrap();
    let ran = qmill(&["run", "-m", path, "--device", "cpu", "-p", "", "-n", "3", "--temp", "0", "--json"]);
    let json: Value = serde_json::from_str(&text(ran.stdout)).unwrap();
    assert_eq!((&json["prompt_tokens"], &json["generated_tokens"]), (&1.into(), &3.into()));
}

#[test]
fn ignored_token_numbers_draw_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad_id.gguf");
    save_model_with(&path, |metadata| metadata.set("tokenizer.ggml.unknown_token_id", 5000u32));
    let ran = qmill(&["run", "-m", path.to_str().unwrap(), "--device", "cpu", "-p", ROMEO, "-n", "1"]);
    let stderr = text(ran.stderr);
    assert!(ran.status.success(), "{stderr}");
    let warning = "qmill: warning: tokenizer.ggml.unknown_token_id is 5000, and the model has 1024 tokens";
    assert!(stderr.contains(warning), "{stderr}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_answer_and_not_the_chat() {
    use std::io::Read;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.gguf");
    save_chat_model(&path);
    let mut child = chat(&path, &["-n", "100000", "--ctx", "100000", "-p", "Who is there?"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    // Without the interrupt the answer would take hours.
    stdin.write_all(b"\n").unwrap();
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let stderr = text(output.stderr);
    assert!(stderr.contains("; stopped]\n"), "{stderr}");
}

#[test]
fn perplexity_is_that_of_libllama() {
    // tests/real/perplexity.py: libllama on the same two chunks.
    const LIBLLAMA: f64 = 20.016_525_6;
    let arguments = ["perplexity", "-m", TINY_SHAKESPEARE, "-f", HELD_OUT, "-c", "64", "--chunks", "2"];
    let measure = |more: &[&str]| {
        let ran = qmill(&[&arguments, ["--device", "cpu"].as_slice(), more].concat());
        assert!(ran.status.success(), "{}", text(ran.stderr));
        text(ran.stdout)
    };
    let same: Value = serde_json::from_str(&measure(&["--json", "--base", TINY_SHAKESPEARE])).unwrap();
    let found = same["perplexity"].as_f64().unwrap();
    assert!((found / LIBLLAMA - 1.0).abs() < 1e-3, "{found}");
    assert_eq!((&same["chunks"], &same["tokens"]), (&2.into(), &62.into()));
    let base = &same["base"];
    assert_eq!((&base["perplexity"], &base["same_top"]), (&same["perplexity"], &1.0.into()));
    assert_eq!((&base["kl_divergence"], &base["log_ratio"]), (&0.0.into(), &0.0.into()));

    // -1 and 0 mean no limit, as in llama-perplexity.
    let held_out = Path::new(HELD_OUT);
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short.txt");
    fs::write(&short, &fs::read(held_out).unwrap()[..400]).unwrap();
    let all = |chunks: &str| {
        let arguments = ["perplexity", "-m", TINY_SHAKESPEARE, "-c", "32", "--device", "cpu", "--json"];
        let ran =
            qmill(&[&arguments, ["-f", short.to_str().unwrap(), "--chunks", chunks].as_slice()].concat());
        serde_json::from_str::<Value>(&text(ran.stdout)).unwrap()
    };
    assert!(all("-1")["chunks"].as_u64().unwrap() > 2);
    assert_eq!(all("0"), all("-1"));

    let quantized = ["--base", TINY_SHAKESPEARE, "--quantize", "Q2_K"];
    let worse: Value = serde_json::from_str(&measure(&[&quantized, ["--json"].as_slice()].concat())).unwrap();
    let base = &worse["base"];
    assert_eq!(base["perplexity"], same["perplexity"]);
    assert!(base["kl_divergence"].as_f64().unwrap() > 0.01, "{worse}");
    assert!(base["same_top"].as_f64().unwrap() < 1.0, "{worse}");
    let printed = measure(&quantized);
    let expected = format!("{:.4} ± ", worse["perplexity"].as_f64().unwrap());
    assert!(printed.contains(&expected) && printed.contains("KL divergence"), "{printed}");
}

#[test]
fn perplexity_refuses_impossible_chunks() {
    let (model, tokenizer) = tiny(None);
    let tokens = tokenizer.prompt(ROMEO);
    let measure = |text: &[u32], tokens| {
        let chunks = Chunks { tokens, limit: None, bos: None };
        eval::perplexity(&model, None, text, &chunks, &mut |_| ControlFlow::Break(()))
    };
    assert!(matches!(measure(&tokens, 3), Err(Error::Number { .. })));
    assert!(matches!(measure(&tokens[..7], 8), Err(Error::Number { .. })));
    assert!(matches!(measure(&tokens, 8), Err(Error::Cancelled)));
    let none = Chunks { tokens: 8, limit: Some(0), bos: None };
    let none = eval::perplexity(&model, None, &tokens, &none, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(none, Err(Error::Number { what: "the number of chunks", .. })));
}

#[test]
fn perplexity_follows_its_definition() {
    let quarter = [0.25f32.ln(), 0.75f32.ln()];
    let mut perplexity = Perplexity::default();
    perplexity.add(&quarter, 0);
    perplexity.add(&quarter, 0);
    assert!((perplexity.value() - 4.0).abs() < 1e-6 && perplexity.error() < 1e-6, "{perplexity:?}");
    // Logits may have any offset: 1/4 and 3/4 again.
    perplexity.add(&[100.0, 100.0 + 3f32.ln()], 1);
    let surprises = [4f64.ln(), 4f64.ln(), (4.0f64 / 3.0).ln()];
    let mean = surprises.iter().sum::<f64>() / 3.0;
    let variance = surprises.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 3.0;
    assert!((perplexity.value() - mean.exp()).abs() < 1e-5);
    assert!((perplexity.error() - (variance / 2.0).sqrt() * mean.exp()).abs() < 1e-5);
}

#[test]
fn divergence_follows_its_definition() {
    let logits = |shares: [f32; 2]| shares.map(f32::ln);
    let (half, quarter) = (logits([0.5, 0.5]), logits([0.25, 0.75]));
    let mut divergence = Divergence::default();
    divergence.add(&half, &quarter, 0);
    divergence.add(&quarter, &quarter, 1);
    let expected = 0.5 * 2f64.ln() + 0.5 * (2.0 / 3.0f64).ln();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{a} is not {b}");
    close(divergence.mean().value, expected / 2.0);
    close(divergence.mean().error, expected / 2.0);
    close(divergence.percentile(1.0), expected);
    close(divergence.percentile(0.25), expected / 4.0);
    close(divergence.rms_difference(), (0.25f64.powi(2) / 2.0).sqrt());
    close(divergence.log_ratio().value, 2f64.ln() / 2.0);
    close(divergence.base().value(), (2.0f64 * 4.0 / 3.0).sqrt());
    // Of equal logits the first is the top: token 0 in the one model, token 1 in the other.
    close(divergence.same_top().value, 0.5);
    // Tokens that are almost impossible in the base do not count.
    let mut rare = Divergence::default();
    rare.add(&[0.0, -17.0], &[0.0, 17.0], 0);
    close(rare.mean().value, f64::from((-(1.0f32 + (-17f32).exp()).ln()).exp()) * (1.0 + 17f64.exp()).ln());
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
