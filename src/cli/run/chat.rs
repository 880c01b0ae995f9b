//! A conversation by the model's chat template.

use super::super::failure::Failure;
use super::super::model::note;
use super::answer::Teller;
use super::input::{self, Command, Messages};
use qmill::Error;
use qmill::llm::{ChatTemplate, End, Generator, Message};

/// The share of the context that an answer has at least, where it may be that long.
const ANSWER_SHARE: usize = 4;

/// Answers `first`, if there is one, and then what comes from the standard input, until its end or `/exit`.
pub(super) fn talk(
    template: &ChatTemplate,
    system: Option<String>,
    first: Option<String>,
    generator: &mut Generator,
    teller: &Teller,
) -> Result<(), Failure> {
    let mut input = Messages::new()?;
    if input.is_typed() {
        teller.is_load_told.set(true);
        note(format!(
            "{} on {}, loaded in {:.2} s, with room for {} tokens; /help lists what can be typed",
            teller.name(),
            teller.model.device(),
            teller.load_seconds,
            teller.model.context()
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
            None => match talk.answer(line, generator, teller) {
                // Somebody who types can say it otherwise.
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

/// What was said.
struct Talk<'a> {
    template: &'a ChatTemplate,
    system: Option<Message>,
    messages: Vec<Message>,
}

impl Talk<'_> {
    /// Answers a message. Where that fails, it is as if it was not said.
    fn answer(&mut self, message: String, generator: &mut Generator, teller: &Teller) -> Result<(), Failure> {
        self.messages.push(Message::new("user", message));
        let answer = match self.prompt(generator, teller.limit) {
            Ok(tokens) => teller.answer(generator, &tokens),
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

    /// The tokens of the conversation, without its oldest messages where they leave no room for an answer.
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
            // A conversation begins with the user; the last message has to stay.
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
