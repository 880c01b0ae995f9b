//! A conversation, using the model's chat template.

use super::super::failure::Failure;
use super::super::model::note;
use super::answer::AnswerPrinter;
use super::input::{self, Command, Messages};
use qmill::Error;
use qmill::llm::{ChatTemplate, End, Generator, Message};

/// An answer has room for at least this fraction of the context, 1/4, unless the limit is less.
const ANSWER_SHARE: usize = 4;

/// Answers `first`, if there is one, and then the messages from the standard input, until its end or `/exit`.
pub(super) fn talk(
    template: &ChatTemplate,
    system: Option<String>,
    first: Option<String>,
    generator: &mut Generator,
    printer: &AnswerPrinter,
) -> Result<(), Failure> {
    let mut input = Messages::new()?;
    if input.is_typed() {
        printer.is_load_reported.set(true);
        note(format!(
            "{} on {}, loaded in {:.2} s, with room for {} tokens; /help lists what can be typed",
            printer.name(),
            printer.model.device(),
            printer.load_seconds,
            printer.model.context()
        ));
    }
    let mut first = first;
    let mut talk =
        Talk { template, system: system.map(|text| Message::new("system", text)), messages: Vec::new() };
    while let Some(line) = first.take().map_or_else(|| input.next(), |prompt| Ok(Some(prompt)))? {
        match input::command(&line) {
            Some(Command::Exit) => break,
            Some(Command::Help) => input::print_help(),
            Some(Command::Clear) => {
                talk.messages.clear();
                note("the conversation is forgotten");
            }
            None if line.trim().is_empty() || input.is_typed() && input::is_mistyped(&line) => {}
            None => match talk.answer(line, generator, printer) {
                // The user can type another message.
                Err(Failure::Interrupted) => eprintln!(),
                Err(Failure::Qmill(error @ (Error::ChatTemplate { .. } | Error::ContextFull { .. })))
                    if input.is_typed() =>
                {
                    eprintln!("qmill: {error}; the message is dropped");
                }
                other => other?,
            },
        }
    }
    Ok(())
}

/// The messages so far.
struct Talk<'a> {
    template: &'a ChatTemplate,
    system: Option<Message>,
    messages: Vec<Message>,
}

impl Talk<'_> {
    /// Answers a message. If that fails, the message is removed.
    fn answer(
        &mut self,
        message: String,
        generator: &mut Generator,
        printer: &AnswerPrinter,
    ) -> Result<(), Failure> {
        self.messages.push(Message::new("user", message));
        let answer = match self.prompt(generator, printer.limit) {
            Ok(tokens) => printer.answer(generator, &tokens),
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => {
                if answer.end == End::Context {
                    note(
                        "the context is full, so the answer ends here; the oldest messages are forgotten \
                         with the next",
                    );
                }
                self.messages.push(Message::new("assistant", answer.text));
                Ok(())
            }
            Err(error) => {
                self.messages.pop();
                Err(error)
            }
        }
    }

    /// The tokens of the conversation, without its oldest messages if they leave no room for an answer.
    fn prompt(&mut self, generator: &Generator, limit: usize) -> Result<Vec<u32>, Failure> {
        let context = generator.session().model().context();
        let room = limit.min(context / ANSWER_SHARE).max(1);
        let mut forgotten = 0;
        let tokens = loop {
            let said: Vec<Message> = self.system.iter().chain(&self.messages[forgotten..]).cloned().collect();
            let tokens = generator.tokenizer().prompt(&self.template.render(&said)?);
            if tokens.len() + room <= context {
                break tokens;
            }
            // A conversation begins with a message of the user. The last message is kept.
            let after = self.messages.iter().skip(forgotten + 1).position(|message| message.role == "user");
            match after {
                Some(more) => forgotten += more + 1,
                None if tokens.len() < context => break tokens,
                None => return Err(Error::ContextFull { context, needed: tokens.len() + 1 }.into()),
            }
        };
        if forgotten > 0 {
            self.messages.drain(..forgotten);
            note(format!(
                "the context of {context} tokens is full: the oldest {forgotten} messages are forgotten"
            ));
        }
        Ok(tokens)
    }
}
