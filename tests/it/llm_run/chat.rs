//! Conversations of `qmill run --chat`, and prompts without text.

use super::*;

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
