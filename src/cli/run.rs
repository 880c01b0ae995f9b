//! `qmill run`: generates text from a prompt.

mod answer;
mod chat;
mod input;
mod interrupt;

use super::failure::Failure;
use super::model::{self, Count, Loaded, ModelOptions};
use answer::AnswerPrinter;
use clap::Args;
use input::PromptArgs;
use interrupt::Interrupt;
use qmill::llm::{ChatTemplate, End, Generator, Phase, Profile, SamplerOptions, Session};
use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IsTerminal};

/// Continues a prompt with a model, or chats with it.
///
/// The text is printed while it is generated, then a line of figures on the standard error. With --chat, or
/// without a prompt on a terminal, each line of the standard input is a message; /help lists the commands.
/// Ctrl-C ends an answer or, between answers, the program. Options of llama-cli are accepted if qmill has the
/// same, and answered with a hint otherwise.
#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    prompt: PromptArgs,
    /// The most tokens in an answer; -1 means as many as the context has room for
    #[arg(
        short = 'n', long = "predict", value_name = "N", default_value = "256", allow_negative_numbers = true,
        value_parser = model::count_or_none
    )]
    limit: Count,
    /// Length of the context in tokens, for prompt and answer; 0 means the length that the model was trained
    /// for [default: 4096, or the length that the model was trained for if that is less]
    #[arg(short, long, value_name = "N")]
    ctx: Option<usize>,
    #[command(flatten)]
    talk: TalkArgs,
    #[command(flatten)]
    sampler: SamplerArgs,
    /// Print more figures for each answer, and those of the model
    #[arg(long)]
    stats: bool,
    /// Print one JSON object on a line for each answer, instead of the text
    #[arg(long)]
    json: bool,
    /// Print at the end the time of each kind of kernel on the GPU: its share of the total, and the bytes of
    /// weights per second. Generation is slower
    #[arg(long, conflicts_with = "json")]
    profile: bool,
}

/// Options of conversations.
#[derive(Args)]
struct TalkArgs {
    /// Chat with the model, using the chat template of its file
    #[arg(long)]
    chat: bool,
    /// The system message of a conversation; implies --chat
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
}

/// Options of the sampler.
#[derive(Args)]
struct SamplerArgs {
    /// Divide the logits by this; 0 always chooses the most likely token
    #[arg(long, value_name = "T", default_value_t = SamplerOptions::default().temperature)]
    #[arg(allow_negative_numbers = true)]
    temp: f32,
    /// Choose among the K most likely tokens; 0 or -1 means all
    #[arg(long, value_name = "K", default_value_t = Count(Some(SamplerOptions::default().top_k)))]
    #[arg(allow_negative_numbers = true, value_parser = model::none_or_count)]
    top_k: Count,
    /// Choose among the most likely tokens whose probabilities add up to P
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().top_p)]
    top_p: f32,
    /// Choose among tokens with at least P times the probability of the most likely one
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().min_p)]
    min_p: f32,
    /// Divide the logits of the last 64 tokens by this
    #[arg(long, value_name = "X", default_value_t = SamplerOptions::default().repeat_penalty)]
    repeat_penalty: f32,
    /// Seed of the random numbers; the same seed gives the same answer, -1 means a random seed
    #[arg(short, long, value_name = "N", default_value = "-1", allow_negative_numbers = true)]
    #[arg(value_parser = seed)]
    seed: u64,
}

/// Parses a seed; -1 gives a random one.
fn seed(text: &str) -> Result<u64, String> {
    if text == "-1" {
        return Ok(RandomState::new().build_hasher().finish() & u64::from(u32::MAX));
    }
    text.parse().map_err(|_| format!("{text:?} is no number from 0 on, and not -1"))
}

impl SamplerArgs {
    fn options(&self) -> SamplerOptions {
        SamplerOptions::default()
            .with_repeat_penalty(self.repeat_penalty)
            .with_top_k(self.top_k.0.unwrap_or(0))
            .with_top_p(self.top_p)
            .with_min_p(self.min_p)
            .with_temperature(self.temp)
            .with_seed(self.seed)
    }
}

impl Run {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let prompt = self.prompt.read()?;
        let is_asked = self.talk.chat || self.talk.system.is_some();
        if prompt.is_none() && !is_asked && !io::stdin().is_terminal() {
            let message = "there is no prompt: -p TEXT or -f FILE gives one; with --chat, messages come \
                           from the standard input, a line each";
            return Err(Failure::Usage(message.to_owned()));
        }
        let talks = is_asked || prompt.is_none();
        let stop = Interrupt::new()?;
        let device = self.model.open_device()?;
        let Loaded { model, tokenizer, seconds } = self.model.load(&device, self.ctx)?;
        let template = if talks { ChatTemplate::new(model.metadata(), &tokenizer)? } else { None };
        if talks && template.is_none() {
            let path = self.model.model.clone();
            return Err(Failure::NoTemplate { path });
        }
        let options = self.sampler.options();
        let mut session = Session::new(&model)?;
        if self.profile {
            session.start_profile()?;
        }
        let printer = AnswerPrinter {
            model: &model,
            load_seconds: seconds,
            is_load_reported: Cell::new(false),
            limit: self.limit.0.unwrap_or(usize::MAX),
            seed: options.seed,
            stats: self.stats,
            json: self.json,
            stop: &stop,
        };
        let mut generator = Generator::new(session, tokenizer, options)?;
        let mut end = End::Token;
        if let Some(template) = &template {
            chat::talk(template, self.talk.system, prompt, &mut generator, &printer)?;
        } else {
            let tokens = generator.tokenizer().prompt(prompt.as_deref().unwrap_or_default());
            if tokens.is_empty() {
                let message = "the prompt is empty, and this model begins no text with a token of its own; \
                               -p gives it a text to continue";
                return Err(Failure::Usage(message.to_owned()));
            }
            end = printer.answer(&mut generator, &tokens)?.end;
        }
        if let Some(Profile { batches, singles }) = generator.session().profile() {
            print_phase("batches", batches);
            print_phase("single tokens", singles);
        }
        model::store_pipelines(&device);
        if end == End::Stopped { Err(Failure::Interrupted) } else { Ok(()) }
    }
}

/// Prints the time per token of the kernels in a phase.
fn print_phase(name: &str, phase: &Phase) {
    if phase.tokens == 0 {
        return;
    }
    let tokens = phase.tokens as f64;
    let (all_ms, kernels_ms) = (1e3 * phase.seconds / tokens, 1e3 * phase.kernel_seconds() / tokens);
    eprintln!("\n{name}: {} tokens, {all_ms:.3} ms each, {kernels_ms:.3} ms in kernels", phase.tokens);
    eprintln!("{:<24} {:>10} {:>12} {:>7} {:>8}", "kernel", "dispatches", "ms a token", "share", "GB/s");
    let mut kinds = phase.kinds.clone();
    kinds.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    for kind in kinds {
        let rate = match kind.weight_bytes {
            0 => String::new(),
            bytes => format!("{:8.2}", bytes as f64 * 1e-9 / kind.seconds),
        };
        let (ms, share) = (1e3 * kind.seconds / tokens, 100.0 * kind.seconds / phase.kernel_seconds());
        eprintln!("{:<24} {:>10} {ms:>12.3} {share:>6.1}% {rate:>8}", kind.name, kind.count);
    }
}
