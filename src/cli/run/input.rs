//! The input of a model: a prompt from the command line or a file, messages from a terminal or a pipe.

use super::super::failure::Failure;
use super::super::model::{lossy, note};
use clap::Args;
use qmill::Error;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor};
use std::fs;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::PathBuf;

/// Options of the prompt.
#[derive(Args)]
pub(super) struct PromptArgs {
    /// The text to continue; with --chat, the first message
    #[arg(short, long, value_name = "TEXT")]
    prompt: Option<String>,
    /// A file with the prompt, - for the standard input; a newline at its end is removed
    #[arg(short, long, value_name = "FILE", conflicts_with = "prompt")]
    file: Option<PathBuf>,
    /// Process the escapes \n, \r, \t, \', \", \\ and \xHH in the prompt, as llama-cli does
    #[arg(short, long)]
    escape: bool,
}

impl PromptArgs {
    /// The prompt, if one was given.
    pub(super) fn read(&self) -> Result<Option<String>, Failure> {
        let text = match (&self.prompt, &self.file) {
            (Some(prompt), _) => prompt.clone(),
            (None, Some(path)) => {
                let bytes = if path.as_os_str() == "-" {
                    let mut bytes = Vec::new();
                    io::stdin().lock().read_to_end(&mut bytes).map_err(Failure::Stdin)?;
                    bytes
                } else {
                    let error = |source| Error::Io { path: path.clone(), action: "read", source };
                    fs::read(path).map_err(error)?
                };
                let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
                lossy(bytes, &path.display().to_string(), &mut false).into_owned()
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(if self.escape { unescaped(&text) } else { text }))
    }
}

/// Replaces the escapes of llama.cpp. Other backslashes are kept.
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let simple = match after.first() {
            _ if *first != b'\\' => None,
            Some(b'n') => Some(b'\n'),
            Some(b'r') => Some(b'\r'),
            Some(b't') => Some(b'\t'),
            Some(&byte @ (b'\'' | b'"' | b'\\')) => Some(byte),
            _ => None,
        };
        let hex = after.get(1..3).filter(|_| *first == b'\\' && after[0] == b'x');
        let hex = hex.and_then(|digits| std::str::from_utf8(digits).ok());
        let hex = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, length) = match (simple, hex) {
            (Some(byte), _) => (byte, 2),
            (None, Some(byte)) => (byte, 4),
            (None, None) => (*first, 1),
        };
        out.push(byte);
        rest = &rest[length..];
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The messages of a conversation: typed lines, with editing and history, or lines of a pipe.
pub(super) enum Messages {
    Typed(Box<Editor<(), MemHistory>>),
    Piped { is_noted: bool },
}

impl Messages {
    pub(super) fn new() -> Result<Self, Failure> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(Self::Piped { is_noted: false });
        }
        let config = Config::builder().auto_add_history(true).build();
        let editor = Editor::with_history(config, MemHistory::new()).map_err(failed)?;
        Ok(Self::Typed(Box::new(editor)))
    }

    /// Whether a user types the messages.
    pub(super) fn is_typed(&self) -> bool {
        matches!(self, Self::Typed(_))
    }

    /// The next line; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Typed(editor) => match editor.readline("> ") {
                Ok(line) => Ok(Some(line)),
                Err(ReadlineError::Eof) => Ok(None),
                Err(ReadlineError::Interrupted) => Err(Failure::Interrupted),
                Err(error) => Err(failed(error)),
            },
            Self::Piped { is_noted } => {
                let mut line = Vec::new();
                let read = io::stdin().lock().read_until(b'\n', &mut line).map_err(Failure::Stdin)?;
                while line.pop_if(|byte| matches!(byte, b'\n' | b'\r')).is_some() {}
                Ok((read > 0).then(|| lossy(&line, "the standard input", is_noted).into_owned()))
            }
        }
    }
}

fn failed(error: ReadlineError) -> Failure {
    Failure::Stdin(match error {
        ReadlineError::Io(error) => error,
        other => io::Error::other(other),
    })
}

/// The command on a line, if it is one.
pub(super) fn command(line: &str) -> Option<Command> {
    match line.trim() {
        "/exit" | "/quit" | "/bye" => Some(Command::Exit),
        "/clear" => Some(Command::Clear),
        "/help" | "/?" => Some(Command::Help),
        _ => None,
    }
}

pub(super) enum Command {
    Help,
    Clear,
    Exit,
}

pub(super) fn print_help() {
    eprintln!("/clear  forget the conversation, but not the system message");
    eprintln!("/exit   quit; so do Ctrl-D, and Ctrl-C between answers");
    eprintln!("/help   print this help");
    eprintln!("Anything else is a message. Ctrl-C ends an answer; the arrow keys bring back earlier lines.");
}

/// Whether a line looks like a command but is none. Prints a note.
pub(super) fn is_mistyped(line: &str) -> bool {
    let line = line.trim();
    let is_word =
        line.starts_with('/') && line[1..].chars().all(|c| c.is_ascii_alphabetic()) && line.len() > 1;
    if is_word {
        note(format!("{line} is no command; /help lists them"));
    }
    is_word
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn escapes_are_those_of_llama_cli() {
        for (text, expected) in [
            (r"a\nb\tc\\n\'\x41\xc3\xa9", "a\nb\tc\\n'A\u{e9}"),
            (r"\q\x4\xzz\", r"\q\x4\xzz\"),
            ("é\\", "é\\"),
        ] {
            assert_eq!(unescaped(text), expected);
        }
    }
}
