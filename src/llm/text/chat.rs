//! Renders a conversation by the chat template of a model's file.
//!
//! Templates are written in Jinja for Python's `transformers`, and render as they do there: `trim_blocks` and
//! `lstrip_blocks` are set; Python's methods of strings and its `%` work; `tojson` writes what `json.dumps`
//! does; the block `generation` is known, and so are `raise_exception` and `strftime_now`, whose time is UTC.

mod python;
mod source;

use super::tokenizer::Tokenizer;
use crate::gguf::Metadata;
use crate::{Error, Result};
use jiff::Timestamp;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

const NAME: &str = "chat";

/// A message of a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Message {
    /// `system`, `user` or `assistant`, or another role that the template knows.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// The template at `tokenizer.chat_template`; `None` if a model has none.
    ///
    /// Fails with [`Error::ChatTemplate`] for a malformed template.
    pub fn new(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Option<Self>> {
        let Some(template) = metadata.str_of("tokenizer.chat_template") else { return Ok(None) };
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| refused(&error))?;
        environment.set_syntax(syntax);
        environment.set_unknown_method_callback(python::method);
        environment.add_filter("tojson", python::to_json);
        environment.add_function(source::MODULO, python::modulo);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_template_owned(NAME, source::translate(template)).map_err(|error| refused(&error))?;
        let name = |token: Option<u32>| token.map(|token| tokenizer.name(token)).unwrap_or_default();
        Ok(Some(Self { environment, bos: name(tokenizer.bos()), eos: name(tokenizer.eos()) }))
    }

    /// The text of a conversation, up to the assistant's next answer. [`Tokenizer::prompt`] turns it into
    /// tokens.
    ///
    /// Fails with [`Error::ChatTemplate`] if the template refuses the messages, as some refuse a system
    /// message.
    pub fn render(&self, messages: &[Message]) -> Result<String> {
        let messages = messages.iter().map(|message| {
            context! { role => message.role.as_str(), content => message.content.as_str() }
        });
        self.render_value([("messages", messages.collect())])
    }

    /// [`render`](Self::render) with all variables of the template, as a JSON object: `messages`, which may
    /// have more fields such as `tool_calls`, and variables such as `tools`, `enable_thinking` or
    /// `add_generation_prompt`. The last defaults to true.
    ///
    /// Keys keep their order. Fails as [`render`](Self::render) does.
    pub fn render_with(&self, variables: &serde_json::Value) -> Result<String> {
        let variables = variables.as_object().into_iter().flatten();
        self.render_value(variables.map(|(key, value)| (key.as_str(), python::from_json(value))))
    }

    /// Renders with `variables`, which override those that every template gets.
    fn render_value<'a>(&self, variables: impl IntoIterator<Item = (&'a str, Value)>) -> Result<String> {
        let own = [
            ("bos_token", Value::from(self.bos.as_str())),
            ("eos_token", Value::from(self.eos.as_str())),
            ("add_generation_prompt", Value::from(true)),
        ];
        // Of two variables with one name the last counts.
        let context = Value::from_pairs(own.into_iter().chain(variables));
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(context))
            .map_err(|error| refused(&error))
    }
}

fn raise_exception(message: String) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(format: &str) -> Result<String, minijinja::Error> {
    jiff::fmt::strtime::format(format, Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).datetime())
        .map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

fn refused(error: &minijinja::Error) -> Error {
    Error::ChatTemplate { message: error.to_string() }
}
